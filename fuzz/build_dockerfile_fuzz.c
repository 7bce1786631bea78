#include <stdint.h>
#include <stdlib.h>

#include "build/directive.h"
#include "build/instruction.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Property: lines are in order and inside the file, and a parse is repeatable. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_(arena) a = ARENA_INIT;
	struct str source = { (const char *)data, size };
	struct dockerfile d, again;
	const char *word, *line;
	struct lint lint;
	struct ast ast;
	unsigned last = 0;

	lint_init(&lint, &a);
	directive_find(&a, source, "syntax", true, &word, &line);
	if (ast_parse(&a, source, &ast, NULL, NULL) == 0) {
		for (size_t i = 0; i < ast.n_nodes; i++) {
			if (ast.nodes[i].line <= last || ast.nodes[i].end_line < ast.nodes[i].line)
				abort();
			last = ast.nodes[i].end_line;
			(void)ast_dump_node(&a, &ast.nodes[i]);
		}
	}
	if (dockerfile_parse(&a, source, &lint, &d, NULL, NULL) == 0) {
		if (dockerfile_parse(&a, source, NULL, &again, NULL, NULL) < 0 ||
		    again.n_stages != d.n_stages)
			abort();
	}
	return 0;
}
