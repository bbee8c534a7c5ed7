// What happens to an exchange that is over: it is counted, and becomes a span.
#ifndef OTELAUTO_SETTLE_H
#define OTELAUTO_SETTLE_H

#include "red.h"
#include "span.h"

// An exchange is over and known: counts it, and gives its span to the agent.
static __always_inline void settle(struct finished *done, u32 shared)
{
	red_add(done, shared);
	FORGET_MEMORY();
	span_end(done);
}

// An exchange is over of which nothing is known.
static __always_inline void settle_unseen(struct finished *done)
{
	count(COUNT_RESPONSE_UNSEEN);
	span_drop(done);
}

#endif
