/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The packet as a tc program gets it, and what a program may answer. */
#pragma once

#include "bpf/compiler.h"
#include "bpf/helpers.h"
#include "bpf/types.h"

/* The kernel's view of a packet: names and places are its ABI. */
struct __sk_buff {
	u32 len;
	u32 pkt_type;
	u32 mark;
	u32 queue_mapping;
	u32 protocol;
	u32 vlan_present;
	u32 vlan_tci;
	u32 vlan_proto;
	u32 priority;
	u32 ingress_ifindex;
	u32 ifindex;
	u32 tc_index;
	u32 cb[5];
	u32 hash;
	u32 tc_classid;
	u32 data;
	u32 data_end;
	u32 napi_id;
	u32 family;
	u32 remote_ip4;
	u32 local_ip4;
	u32 remote_ip6[4];
	u32 local_ip6[4];
	u32 remote_port;
	u32 local_port;
	u32 data_meta;
	u64 flow_keys;
	u64 tstamp;
	u32 wire_len;
	u32 gso_segs;
	u64 sk;
	u32 gso_size;
};

/*
 * A verdict inside the datapath is CTX_ACT_OK, CTX_ACT_TRACE and what to say, or a negative DROP_*. To the kernel a passed
 * packet is TC_ACT_UNSPEC (TCX_NEXT), not TC_ACT_OK: programs of others on the same hook still see it, and can only be
 * stricter.
 */
enum {
	CTX_ACT_OK = 0,
	CTX_ACT_REDIRECT = 7,	/* TC_ACT_REDIRECT: the frame was answered and goes back */
	CTX_ACT_TRACE = 16,	/* and a TRACE_REASON_*: it passes, and user space hears of it */
};

enum {
	TC_ACT_UNSPEC = -1,
	TC_ACT_SHOT = 2,
};

enum {
	CTX_OFFSET_MAX = 0x7fff,	/* of a header that is looked at in place */
};

/* First byte of what of the packet can be read in place. */
static __always_inline const u8 *ctx_data(const struct __sk_buff *ctx)
{
	return (const u8 *)(unsigned long)ctx->data;
}

/* Where that ends. */
static __always_inline const u8 *ctx_data_end(const struct __sk_buff *ctx)
{
	return (const u8 *)(unsigned long)ctx->data_end;
}

/*
 * @length bytes at @offset: in place, or in @copy when not all of them are in the packet's linear part; NULL when the
 * packet ends before them.
 */
static __always_inline const void *ctx_read(struct __sk_buff *ctx, u32 offset, u32 length, void *copy)
{
	const u8 *data = ctx_data(ctx);
	const u8 *end = ctx_data_end(ctx);

	/* Verifier: "R1 offset is outside of the packet" where it lost the bounds of an offset that it spilled. */
	if (likely(offset <= CTX_OFFSET_MAX && data + offset + length <= end))
		return data + offset;
	return skb_load_bytes(ctx, offset, copy, length) ? NULL : copy;
}
