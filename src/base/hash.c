#include "base/hash.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

static void must(int ok)
{
	if (ok != 1) {
		fputs("proa: libcrypto refuses to hash\n", stderr);
		abort();
	}
}

static void init(struct hash *h, const EVP_MD *md)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	must(ctx != NULL);
	must(EVP_DigestInit_ex(ctx, md, NULL));
	h->ctx = ctx;
}

void hash_init_sha256(struct hash *h)
{
	init(h, EVP_sha256());
}

void hash_init_sha512(struct hash *h)
{
	init(h, EVP_sha512());
}

void hash_add(struct hash *h, const void *bytes, size_t len)
{
	must(EVP_DigestUpdate(h->ctx, bytes, len));
}

void hash_copy(const struct hash *from, struct hash *ret)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	must(ctx != NULL);
	must(EVP_MD_CTX_copy_ex(ctx, from->ctx));
	ret->ctx = ctx;
}

void hash_finish(struct hash *h, uint8_t *out)
{
	must(EVP_DigestFinal_ex(h->ctx, out, NULL));
}

void hash_release(struct hash *h)
{
	EVP_MD_CTX_free(h->ctx);
	h->ctx = NULL;
}

void hash_sha256(const void *bytes, size_t len, uint8_t out[static SHA256_SIZE])
{
	must(EVP_Digest(bytes, len, out, NULL, EVP_sha256(), NULL));
}
