#include "build/chmod.h"

#include <string.h>
#include <sys/stat.h>

#include "base/str.h"

static int invalid(const char *text, struct error *err)
{
	return error_set(err, ERR_INVALID,
			 "invalid chmod parameter: '%s'. it should be octal string and between 0 "
			 "and 07777",
			 text);
}

/* The permission bits that one letter stands for, as rwx for everybody. */
static mode_t letter_bits(char c, mode_t mode)
{
	switch (c) {
	case 'r':
		return 0444;
	case 'w':
		return 0222;
	case 'x':
		return 0111;
	case 'X':
		return S_ISDIR(mode) || (mode & 0111) ? 0111 : 0;
	case 's':
		return S_ISUID | S_ISGID;
	case 't':
		return S_ISVTX;
	case 'u':
		return (mode >> 6 & 7) * 0111;
	case 'g':
		return (mode >> 3 & 7) * 0111;
	case 'o':
		return (mode & 7) * 0111;
	default:
		return 0;
	}
}

static mode_t who_mask(const char **p)
{
	mode_t mask = 0;

	for (; **p != '\0' && strchr("ugoa", **p) != NULL; ++*p) {
		switch (**p) {
		case 'u':
			mask |= 0700 | S_ISUID;
			break;
		case 'g':
			mask |= 0070 | S_ISGID;
			break;
		case 'o':
			mask |= 0007 | S_ISVTX;
			break;
		default:
			mask |= 07777;
			break;
		}
	}
	return mask;
}

static int apply_clause(const char **p, mode_t *mode)
{
	mode_t mask = who_mask(p);

	/* No one named is everyone; the sticky bit can be set that way too. */
	if (mask == 0)
		mask = 07777;
	if (**p == '\0' || strchr("+-=", **p) == NULL)
		return -1;
	while (**p != '\0' && strchr("+-=", **p) != NULL) {
		char op = *(*p)++;
		mode_t bits = 0;

		for (; **p != '\0' && strchr("rwxXstugo", **p) != NULL; ++*p)
			bits |= letter_bits(**p, *mode);
		bits &= mask | (bits & S_ISVTX);
		if (op == '+')
			*mode |= bits;
		else if (op == '-')
			*mode &= ~bits;
		else
			*mode = (*mode & ~(mask & 0777)) | bits;
	}
	return 0;
}

bool chmod_is_octal(const char *text)
{
	return text[0] >= '0' && text[0] <= '9';
}

int chmod_apply(const char *text, mode_t mode, mode_t *ret, struct error *err)
{
	const char *p = text;
	uint64_t octal;

	if (chmod_is_octal(text)) {
		if (parse_octal(str_of(text), 07777, &octal, NULL) < 0)
			return invalid(text, err);
		*ret = (mode & S_IFMT) | (mode_t)octal;
		return 0;
	}
	if (*p == '\0')
		return invalid(text, err);
	for (;;) {
		if (apply_clause(&p, &mode) < 0)
			return invalid(text, err);
		if (*p == '\0')
			break;
		if (*p++ != ',')
			return invalid(text, err);
	}
	*ret = mode;
	return 0;
}
