#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "build/shell_word.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Property: a word without special characters is its own result. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_(arena) a = ARENA_INIT;
	const char *word = arena_strndup(&a, (const char *)data, size < 4096 ? size : 4096);
	struct shell_lex lex = { .escape = '\\' };
	struct shell_result result;
	struct vars env = { 0 };
	bool plain = strpbrk(word, "$'\"\\\xEF") == NULL;

	vars_set(&a, &env, "A", "a/b/c.tar.gz");
	vars_set(&a, &env, "E", "");
	if (shell_expand(&a, &lex, word, &env, &result, NULL) < 0)
		return 0;
	for (const char *c = word; *c != '\0'; c++)
		plain = plain && (unsigned char)*c < 0x80;
	if (plain && strcmp(result.word, word) != 0)
		abort();
	return 0;
}
