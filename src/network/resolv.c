#include "network/resolv.h"

#include <string.h>

#include "base/alloc.h"
#include "base/str.h"

/* The next word of a line; false at its end. */
static bool next_word(struct str *line, struct str *ret)
{
	size_t n = 0;

	*line = str_trim(*line);
	while (n < line->len && line->at[n] != ' ' && line->at[n] != '\t')
		n++;
	*ret = str_sub(*line, 0, n);
	*line = str_sub(*line, n, line->len - n);
	return n > 0;
}

static void add_server(struct resolv *r, struct str word)
{
	char text[NET_ADDR_TEXT_MAX];
	ptrdiff_t zone = str_find(word, '%');

	if (zone >= 0)
		word.len = (size_t)zone;
	if (word.len >= sizeof(text) || r->n_servers == RESOLV_SERVERS_MAX)
		return;
	memcpy(text, word.at, word.len);
	text[word.len] = '\0';
	if (net_addr_parse(text, &r->servers[r->n_servers], NULL) == 0)
		r->n_servers++;
}

static unsigned option_value(struct str word, const char *name, unsigned max)
{
	uint64_t v;

	if (!str_starts(word, name))
		return 0;
	word = str_sub(word, strlen(name), word.len);
	return parse_u64(word, max, &v, NULL) == 0 ? (unsigned)v : 0;
}

static void add_option(struct resolv *r, struct str word)
{
	unsigned v = option_value(word, "timeout:", 30);

	if (v)
		r->timeout_s = v;
	v = option_value(word, "attempts:", 5);
	if (v)
		r->attempts = v;
	if (str_eqs(word, "rotate"))
		r->rotate = true;
	if (r->options.len < RESOLV_SERVERS_MAX && word.len < RESOLV_WORD_MAX)
		*vec_push(&r->options) = str_dup(word);
}

static void drop_search(struct resolv *r)
{
	vec_for_each (s, &r->search)
		free(*s);
	vec_release(&r->search);
}

void resolv_parse(const char *text, size_t len, struct resolv *ret)
{
	struct str rest = { text, len }, line, word;

	*ret = (struct resolv)RESOLV_INIT;
	while (len > 0 && str_split(&rest, '\n', &line)) {
		ptrdiff_t comment = str_find(line, '#');

		if (comment >= 0)
			line.len = (size_t)comment;
		if (memchr(line.at, '\0', line.len) || !next_word(&line, &word) ||
		    word.at[0] == ';')
			continue;
		if (str_eqs(word, "nameserver")) {
			if (next_word(&line, &word))
				add_server(ret, word);
		} else if (str_eqs(word, "search") || str_eqs(word, "domain")) {
			drop_search(ret);
			while (next_word(&line, &word))
				if (ret->search.len < RESOLV_SERVERS_MAX &&
				    word.len < RESOLV_WORD_MAX)
					*vec_push(&ret->search) = str_dup(word);
		} else if (str_eqs(word, "options")) {
			while (next_word(&line, &word))
				add_option(ret, word);
		}
	}
}

void resolv_release(struct resolv *r)
{
	drop_search(r);
	vec_for_each (o, &r->options)
		free(*o);
	vec_release(&r->options);
	*r = (struct resolv)RESOLV_INIT;
}

static int format_words(struct buf *b, const char *key, char *const *words, size_t n,
			struct error *err)
{
	int r = n ? buf_addf(b, err, "%s", key) : 0;

	for (size_t i = 0; r == 0 && i < n; i++)
		r = buf_addf(b, err, " %s", words[i]);
	return r == 0 && n ? buf_add(b, "\n", 1, err) : r;
}

int resolv_format(const struct resolv *r, struct buf *b, struct error *err)
{
	char text[NET_ADDR_TEXT_MAX];
	int status = 0;

	for (size_t i = 0; status == 0 && i < r->n_servers; i++) {
		net_addr_format(&r->servers[i], text);
		status = buf_addf(b, err, "nameserver %s\n", text);
	}
	if (status == 0)
		status = format_words(b, "search", r->search.at, r->search.len, err);
	if (status == 0)
		status = format_words(b, "options", r->options.at, r->options.len, err);
	return status;
}
