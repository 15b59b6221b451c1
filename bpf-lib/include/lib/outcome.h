/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The end of every entry point: counting, reporting, and the kernel's word for the verdict. */
#pragma once

#include "lib/ethernet.h"
#include "lib/event.h"
#include "lib/metrics.h"

static __always_inline int outcome(struct __sk_buff *ctx, const struct flow *flow, u8 direction, int ret,
				   const struct decision *decision)
{
	/* A packet without an IP header counts with what follows the Ethernet header. */
	u32 bytes = flow->length ? flow->length : ctx->len - ETH_HEADER_LEN;

	metrics_count(ret < 0 ? ret : CTX_ACT_OK, direction, bytes);
	if (unlikely(ret != CTX_ACT_OK))
		event_send(ctx, flow, direction, ret, decision);
	return ret < 0 ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}
