#include "registry/gate.h"

void gate_init(struct gate *g)
{
	pthread_rwlockattr_t attr;

	*g = (struct gate){ .lock = LOCK_INIT };
	/* Pushes hold it while they write; with readers preferred, many of them would
	 * keep a collection waiting for ever. */
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&g->rw, &attr);
	pthread_rwlockattr_destroy(&attr);
}

void gate_release(struct gate *g)
{
	map_release(&g->noted);
	pthread_rwlock_destroy(&g->rw);
}

void gate_enter(struct gate *g)
{
	pthread_rwlock_rdlock(&g->rw);
}

void gate_leave(struct gate *g)
{
	pthread_rwlock_unlock(&g->rw);
}

void gate_note(struct gate *g, const struct digest *d)
{
	static char in_use;
	char text[DIGEST_TEXT_MAX];

	LOCKED(&g->lock);
	if (!g->collecting)
		return;
	digest_format(d, text);
	map_set(&g->noted, text, &in_use);
}

void gate_collect_begin(struct gate *g)
{
	/* Closed for a moment: pushes that entered before are through, later ones note. */
	gate_close(g);
	{
		LOCKED(&g->lock);
		g->collecting = true;
	}
	gate_open(g);
}

void gate_collect_end(struct gate *g)
{
	LOCKED(&g->lock);
	g->collecting = false;
	map_release(&g->noted);
}

void gate_close(struct gate *g)
{
	pthread_rwlock_wrlock(&g->rw);
}

void gate_open(struct gate *g)
{
	pthread_rwlock_unlock(&g->rw);
}

bool gate_is_noted(struct gate *g, const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];

	digest_format(d, text);
	LOCKED(&g->lock);
	return map_has(&g->noted, text);
}
