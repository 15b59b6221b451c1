/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the datapath is measured against, and the program that gives each of them packets of many flows in one
 * BPF_PROG_TEST_RUN.
 */
#include "abi/conntrack.h"
#include "abi/endpoint.h"
#include "bpf/ctx.h"
#include "bpf/endian.h"
#include "bpf/helpers.h"
#include "bpf/license.h"
#include "bpf/map.h"

#define FLOWS_MAX 65536
#define FIRST_PORT 1024
#define ENDPOINT_ID 77	/* as in machine.rs */
#define CLASS 3	/* its program's place in targets */

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__uint(value_size, 4);
} targets SEC(".maps");

struct plan {
	u32 target;	/* index into targets */
	u32 flows;	/* that the packets go round in */
	u32 next;	/* flow of the next packet */
	u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct plan);
} plan SEC(".maps");

/* A connection as one would keep it who only wants to know that it lives. */
struct bare_entry {
	u64 last_seen_ns;
	u64 pad[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FLOWS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ct_key4);
	__type(value, struct bare_entry);
} bare4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FLOWS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ct_key6);
	__type(value, struct bare_entry);
} bare6 SEC(".maps");

/* Writes the flow's number where the source port stands, and goes on in the target. */
SEC("classifier")
int drive(struct __sk_buff *ctx)
{
	u8 *data = (u8 *)(unsigned long)ctx->data;
	u8 *end = (u8 *)(unsigned long)ctx->data_end;
	struct plan *now;
	u32 zero = 0;
	be16 port;

	now = map_lookup_elem(&plan, &zero);
	if (!now || data + 56 > end)
		return TC_ACT_SHOT;
	port = htons((u16)(FIRST_PORT + now->next));
	now->next = now->next + 1 < now->flows ? now->next + 1 : 0;
	if (data[12] == 0x08)
		*(be16 *)(data + 34) = port;
	else
		*(be16 *)(data + 54) = port;
	tail_call(ctx, &targets, now->target);
	return TC_ACT_SHOT;
}

/* What the loader puts at an endpoint's interface: who it is, and on to the program of its class. */
SEC("classifier")
int enter(struct __sk_buff *ctx)
{
	ctx->cb[ENTRY_CB_SLOT] = 0;
	ctx->cb[ENTRY_CB_ENDPOINT] = ENDPOINT_ID;
	tail_call(ctx, &targets, CLASS);
	return TC_ACT_SHOT;
}

/* Returns at once. */
SEC("classifier")
int floor_program(struct __sk_buff *ctx)
{
	return TC_ACT_UNSPEC;
}

static __always_inline int bare_packet4(const u8 *data, const u8 *end)
{
	struct bare_entry entry = { .last_seen_ns = ktime_get_coarse_ns() };
	struct bare_entry *found;
	struct ct_key4 key = {};

	if (data + 14 + 20 + 20 > end || data[14] != 0x45 || (data[23] != 6 && data[23] != 17))
		return TC_ACT_SHOT;
	key.local_be = *(const be32 *)(data + 26);
	key.peer_be = *(const be32 *)(data + 30);
	key.local_port_be = *(const be16 *)(data + 34);
	key.peer_port_be = *(const be16 *)(data + 36);
	key.proto = data[23];
	found = map_lookup_elem(&bare4, &key);
	if (found)
		found->last_seen_ns = entry.last_seen_ns;
	else if (map_update_elem(&bare4, &key, &entry, BPF_NOEXIST))
		return TC_ACT_SHOT;
	return TC_ACT_UNSPEC;
}

static __always_inline int bare_packet6(const u8 *data, const u8 *end)
{
	struct bare_entry entry = { .last_seen_ns = ktime_get_coarse_ns() };
	struct bare_entry *found;
	struct ct_key6 key = {};

	if (data + 14 + 40 + 20 > end || data[14] >> 4 != 6 || (data[20] != 6 && data[20] != 17))
		return TC_ACT_SHOT;
	__builtin_memcpy(key.local, data + 22, sizeof(key.local));
	__builtin_memcpy(key.peer, data + 38, sizeof(key.peer));
	key.local_port_be = *(const be16 *)(data + 54);
	key.peer_port_be = *(const be16 *)(data + 56);
	key.proto = data[20];
	found = map_lookup_elem(&bare6, &key);
	if (found)
		found->last_seen_ns = entry.last_seen_ns;
	else if (map_update_elem(&bare6, &key, &entry, BPF_NOEXIST))
		return TC_ACT_SHOT;
	return TC_ACT_UNSPEC;
}

/* The same headers, the same key, the clock, one lookup, and a note that the connection lives. */
SEC("classifier")
int bare(struct __sk_buff *ctx)
{
	const u8 *data = (const u8 *)(unsigned long)ctx->data;
	const u8 *end = (const u8 *)(unsigned long)ctx->data_end;

	if (data + 14 > end)
		return TC_ACT_SHOT;
	if (data[12] == 0x08 && data[13] == 0x00)
		return bare_packet4(data, end);
	if (data[12] == 0x86 && data[13] == 0xdd)
		return bare_packet6(data, end);
	return TC_ACT_SHOT;
}
