const express = require("express");

const app = express();
app.get("/", (request, response) => {
	response.send("Hello from a container\n");
});
app.listen(8080, () => console.log("listening on port 8080"));
for (const signal of ["SIGTERM", "SIGINT"]) {
	process.on(signal, () => process.exit(0));
}
