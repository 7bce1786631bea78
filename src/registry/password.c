#include "registry/password.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/lock.h"
#include "base/map.h"
#include "base/random.h"
#include "base/str.h"

#define FILE_MAX     (1024 * 1024)
#define CACHE_NS     (300 * NS_PER_SEC)
#define CACHE_MAX    1024
#define HASHING_MAX  2  /* hashes computed at a time */
#define WAITING_MAX  32 /* requests that wait for their turn */
#define BCRYPT_LEN   60
#define COST_DEFAULT 10

struct passwords {
	char *path;
	uint8_t salt[32]; /* of the keys of `checked` */

	struct lock lock;     /* guards what follows */
	struct map users;     /* name -> bcrypt hash */
	unsigned cost;        /* the highest of them */
	struct timespec seen; /* mtime of the file that users came from */
	struct map checked;   /* keyed digest of user and password -> until when (int64_t) */

	pthread_mutex_t turn; /* guards the two counts */
	pthread_cond_t free;
	unsigned hashing, waiting;
};

/* "$2y$10$" and 53 characters; the cost, or 0 for anything else. */
static unsigned bcrypt_cost(struct str hash)
{
	uint64_t cost;

	if (hash.len != BCRYPT_LEN || hash.at[0] != '$' || hash.at[1] != '2' ||
	    strchr("abxy", hash.at[2]) == NULL || hash.at[3] != '$' || hash.at[6] != '$' ||
	    parse_u64(str_sub(hash, 4, 2), 31, &cost, NULL) < 0)
		return 0;
	return (unsigned)cost;
}

static int read_line(struct str line, struct map *users, unsigned *cost, struct error *err)
{
	ptrdiff_t colon = str_find(line, ':');
	autofree char *user = NULL;
	struct str hash;
	unsigned n;

	if (colon <= 0)
		return error_set(err, ERR_INVALID, "want user:bcrypt-hash (htpasswd -B)");
	hash = str_sub(line, (size_t)colon + 1, line.len);
	n = bcrypt_cost(hash);
	if (n == 0)
		return error_set(err, ERR_INVALID, "want user:bcrypt-hash (htpasswd -B)");
	if (n > PASSWORD_COST_MAX)
		return error_set(err, ERR_INVALID, "a cost of %u is more than %d", n,
				 PASSWORD_COST_MAX);
	user = str_dup(str_sub(line, 0, (size_t)colon));
	map_set(users, user, str_dup(hash));
	*cost = n > *cost ? n : *cost;
	return 0;
}

static int read_users(struct passwords *p, struct error *err)
{
	struct map users = { .free_value = free };
	auto_(buf) b = BUF_INIT(FILE_MAX);
	struct str rest, line;
	unsigned cost = 0;
	int number = 0;
	int r = fs_read_file(p->path, &b, err);

	lock_assert_held(&p->lock);
	if (r < 0)
		return r;
	rest = (struct str){ b.data ? b.data : "", b.len };
	while (r == 0 && str_split(&rest, '\n', &line)) {
		number++;
		line = str_trim(line);
		if (line.len > 0 && line.at[0] != '#')
			r = read_line(line, &users, &cost, err);
	}
	if (r < 0) {
		map_release(&users);
		return error_wrap(err, r, "'%s', line %d", p->path, number);
	}
	map_release(&p->users);
	p->users = users;
	p->cost = cost > 0 ? cost : COST_DEFAULT;
	map_release(&p->checked);
	p->checked.free_value = free;
	return 0;
}

/* A broken new file leaves the old users. */
static void refresh(struct passwords *p)
{
	struct stat st;

	lock_assert_held(&p->lock);
	if (stat(p->path, &st) < 0 ||
	    (st.st_mtim.tv_sec == p->seen.tv_sec && st.st_mtim.tv_nsec == p->seen.tv_nsec))
		return;
	if (read_users(p, NULL) == 0)
		p->seen = st.st_mtim;
}

int passwords_open(const char *path, struct passwords **ret, struct error *err)
{
	struct passwords *p = new0(struct passwords);
	struct stat st;
	int r;

	p->path = xstrdup(path);
	p->lock = (struct lock)LOCK_INIT;
	pthread_mutex_init(&p->turn, NULL);
	pthread_cond_init(&p->free, NULL);
	random_bytes(p->salt, sizeof(p->salt));
	{
		LOCKED(&p->lock);
		if (stat(path, &st) == 0)
			p->seen = st.st_mtim;
		r = read_users(p, err);
	}
	if (r < 0) {
		passwords_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

void passwords_free(struct passwords *p)
{
	if (p == NULL)
		return;
	map_release(&p->users);
	map_release(&p->checked);
	pthread_cond_destroy(&p->free);
	pthread_mutex_destroy(&p->turn);
	OPENSSL_cleanse(p->salt, sizeof(p->salt));
	free(p->path);
	free(p);
}

/* Key of the cache of checked passwords: a keyed digest, never the password. */
static void cache_key(struct passwords *p, const char *user, const char *password,
		      char out[static 2 * SHA256_SIZE + 1])
{
	auto_(hash) h = { 0 };
	uint8_t sum[SHA256_SIZE];

	hash_init_sha256(&h);
	hash_add(&h, p->salt, sizeof(p->salt));
	hash_add(&h, user, strlen(user) + 1);
	hash_add(&h, password, strlen(password));
	hash_finish(&h, sum);
	hex_format(sum, sizeof(sum), out);
}

/* True: believed already. Otherwise what to compare with; somebody unknown costs as
 * much time as somebody known. */
static bool look_up(struct passwords *p, const char *user, const char *key, bool *ret_known,
		    char ret_hash[static BCRYPT_LEN + 1])
{
	const int64_t *until;
	LOCKED(&p->lock);

	refresh(p);
	until = map_get(&p->checked, key);
	if (until != NULL && *until > clock_mono_ns())
		return true;
	*ret_known = map_has(&p->users, user);
	if (*ret_known)
		snprintf(ret_hash, BCRYPT_LEN + 1, "%s", (const char *)map_get(&p->users, user));
	else
		snprintf(ret_hash, BCRYPT_LEN + 1,
			 "$2y$%02u$abcdefghijklmnopqrstuuVb5EMtsrWeLvtqHSFsMcLdrYF1qYe0u", p->cost);
	return false;
}

static void believe(struct passwords *p, const char *key)
{
	int64_t *until = new0(int64_t);
	LOCKED(&p->lock);

	if (p->checked.len >= CACHE_MAX)
		map_release(&p->checked);
	p->checked.free_value = free;
	*until = clock_mono_ns() + CACHE_NS;
	map_set(&p->checked, key, until);
}

static int take_turn(struct passwords *p, struct error *err)
{
	int r = 0;

	pthread_mutex_lock(&p->turn);
	if (p->waiting >= WAITING_MAX)
		r = error_set(err, ERR_UNAVAILABLE, "too many logins at once");
	p->waiting++;
	while (r == 0 && p->hashing >= HASHING_MAX)
		pthread_cond_wait(&p->free, &p->turn);
	p->waiting--;
	p->hashing += r == 0;
	pthread_mutex_unlock(&p->turn);
	return r;
}

static void end_turn(struct passwords *p)
{
	pthread_mutex_lock(&p->turn);
	p->hashing--;
	pthread_cond_signal(&p->free);
	pthread_mutex_unlock(&p->turn);
}

int passwords_check(struct passwords *p, const char *user, const char *password, struct error *err)
{
	autofree struct crypt_data *data = NULL;
	char key[2 * SHA256_SIZE + 1], want[BCRYPT_LEN + 1];
	bool known, same;
	const char *got;
	int r;

	cache_key(p, user, password, key);
	if (look_up(p, user, key, &known, want))
		return 0;
	r = take_turn(p, err);
	if (r < 0)
		return r;
	data = xcalloc(1, sizeof(*data));
	got = crypt_r(password, want, data);
	same = got != NULL && strlen(got) == strlen(want) &&
	       CRYPTO_memcmp(got, want, strlen(want)) == 0;
	OPENSSL_cleanse(data, sizeof(*data));
	end_turn(p);
	if (!known || !same)
		return error_set(err, ERR_UNAUTHORIZED, "wrong user name or password");
	believe(p, key);
	return 0;
}

int password_line(struct arena *a, const char *user, const char *password, const char **ret,
		  struct error *err)
{
	autofree struct crypt_data *data = xcalloc(1, sizeof(*data));
	char salt[CRYPT_GENSALT_OUTPUT_SIZE], seed[16];
	const char *hash;

	if (*user == '\0' || strpbrk(user, ":\n\r") != NULL || strlen(user) > 127)
		return error_set(err, ERR_INVALID, "bad user name '%s'", user);
	if (strlen(password) > 72)
		return error_set(err, ERR_INVALID, "bcrypt takes at most 72 bytes of password");
	random_bytes(seed, sizeof(seed));
	if (crypt_gensalt_rn("$2y$", COST_DEFAULT, seed, sizeof(seed), salt, sizeof(salt)) == NULL)
		return error_set(err, ERR_UNIMPLEMENTED, "this system's libcrypt has no bcrypt");
	hash = crypt_r(password, salt, data);
	if (hash == NULL || hash[0] == '*')
		return error_set(err, ERR_UNIMPLEMENTED, "bcrypt failed");
	*ret = arena_format(a, "%s:%s", user, hash);
	return 0;
}
