/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who an address is: address to identity index, and the index to the number that people know. */
#pragma once

#include "abi/ipcache.h"
#include "bpf/endian.h"
#include "bpf/helpers.h"
#include "bpf/map.h"
#include "config/node.h"
#include "lib/flow.h"

enum {
	IDENTITY_INDEX_UNKNOWN = 0,	/* denied wherever anything is enforced */
};

#if ENABLE_IPV4
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SET_AT_LOAD);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, struct ipcache_page4);
} ipcache4 SEC(".maps");

/* The tries answer "world" for an address that nobody described; a page that should be there and is not is unknown. */
static __always_inline u32 identity_lookup4(be32 address_be)
{
	u32 address = ntohl(address_be);
	const struct ipcache_page4 *page;
	u32 number = address >> 24;
	u32 cell;

	page = map_lookup_elem(&ipcache4, &number);
	if (!page)
		return IDENTITY_INDEX_UNKNOWN;
	cell = page->cell[address >> 16 & 255];
	if (!(cell & IPCACHE_NEXT_PAGE))
		return cell;
	number = cell & ~IPCACHE_NEXT_PAGE;
	page = map_lookup_elem(&ipcache4, &number);
	if (!page)
		return IDENTITY_INDEX_UNKNOWN;
	cell = page->cell[address >> 8 & 255];
	if (!(cell & IPCACHE_NEXT_PAGE))
		return cell;
	number = cell & ~IPCACHE_NEXT_PAGE;
	page = map_lookup_elem(&ipcache4, &number);
	return page ? page->cell[address & 255] : IDENTITY_INDEX_UNKNOWN;
}
#endif

#if ENABLE_IPV6
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SET_AT_LOAD);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, struct ipcache_page6);
} ipcache6 SEC(".maps");

__global_function u32 identity_lookup6(be64 hi_be, be64 lo_be)
{
	const struct ipcache_page6 *page;
	u64 hi = ntohll(hi_be);
	u64 lo = ntohll(lo_be);
	u32 number = 0;
	u64 half;
	u32 cell;
	int i;

#pragma clang loop unroll(disable)
	for (i = 0; i < IPCACHE_STEPS6_MAX; i++) {
		page = map_lookup_elem(&ipcache6, &number);
		if (!page)
			return IDENTITY_INDEX_UNKNOWN;
		if (((hi ^ page->value_hi) & page->mask_hi) | ((lo ^ page->value_lo) & page->mask_lo))
			return page->fallback;
		half = page->byte & 8 ? lo : hi;
		cell = page->cell[half >> (56 - 8 * (page->byte & 7)) & 255];
		if (!(cell & IPCACHE_NEXT_PAGE))
			return cell;
		number = cell & ~IPCACHE_NEXT_PAGE;
	}
	return IDENTITY_INDEX_UNKNOWN;
}
#endif

/* Identity index of an address of the flow's family. */
static __always_inline u32 identity_lookup(u8 family, const union address *address)
{
#if ENABLE_IPV4
	if (family == 4)
		return identity_lookup4(address->ipv4);
#endif
#if ENABLE_IPV6
	if (family == 6)
		return identity_lookup6(address->hi, address->lo);
#endif
	return IDENTITY_INDEX_UNKNOWN;
}

/* The same of the flow's other end, out of line. */
__global_function u32 identity_of_peer(const struct flow *flow, u8 direction)
{
	/* Verifier: "R1 invalid mem access 'mem_or_null'"; no caller passes NULL. */
	return flow ? identity_lookup(flow->family, flow_peer(flow, direction)) : IDENTITY_INDEX_UNKNOWN;
}

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SET_AT_LOAD);
	__type(key, u32);
	__type(value, u32);
} identities SEC(".maps");

/* Numeric identity of an index, 0 when nobody has it. */
static __always_inline u32 identity_number(u32 index)
{
	const u32 *number = map_lookup_elem(&identities, &index);

	return number ? *number : 0;
}
