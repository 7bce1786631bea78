#include "cli/prune.h"

#include <stdio.h>

#include "base/json.h"
#include "cli/api.h"
#include "cli/units.h"

static void print_deleted(const struct json *d)
{
	if (d->type == JSON_STRING)
		printf("%s\n", d->s);
	else if (json_str(d, "Untagged"))
		printf("untagged: %s\n", json_str(d, "Untagged"));
	else
		printf("deleted: %s\n", json_str(d, "Deleted") ? json_str(d, "Deleted") : "");
}

int prune_run(struct cli *cli, const char *path, const char *query, const char *title,
	      const char *member, int64_t *total, struct error *err)
{
	const struct json *answer = NULL, *deleted;
	int r = api_json(cli, "POST", path, query, NULL, &answer, err);

	if (r < 0)
		return r;
	deleted = json_get(answer, member);
	if (deleted && deleted->type == JSON_ARRAY && deleted->n_items > 0) {
		puts(title);
		json_for_each_item (d, deleted)
			print_deleted(d);
		putchar('\n');
	}
	*total += json_int(answer, "SpaceReclaimed", 0);
	return 0;
}

void prune_print_total(struct cli *cli, int64_t total)
{
	printf("Total reclaimed space: %s\n", human_size(&cli->arena, (double)total, 4));
}
