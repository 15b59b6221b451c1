/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The packet's mark on the node: who sent it, in Cilium's encoding. */
#pragma once

#include "bpf/ctx.h"
#include "bpf/types.h"

enum {
	MARK_IDENTITY = 0x0f00,	/* the rest of the mark is an identity */
};

/*
 * Says to the node's other programs and to its packet filters that the packet is from @identity: the low half stands in
 * the upper 16 bits, bits 16 to 23 (the cluster) in the lowest byte.
 */
static __always_inline void mark_source(struct __sk_buff *ctx, u32 identity)
{
	ctx->mark = identity << 16 | MARK_IDENTITY | (identity >> 16 & 0xff);
}
