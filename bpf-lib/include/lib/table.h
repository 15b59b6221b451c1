/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The verdict tables of one class and direction: identity index to row, port to class, both to an action.
 * Mirror: src/table.rs. They are arrays of pages of 256 cells; a page that is not there means "no answer".
 */
#pragma once

#include "abi/action.h"
#include "bpf/helpers.h"
#include "bpf/map.h"
#include "config/ep.h"
#include "lib/flow.h"

enum {
	PAGE_CELLS = 256,
};

enum {
	DIRECTORY_TCP = 0,
	DIRECTORY_UDP = 1,
	DIRECTORY_SCTP = 2,
	DIRECTORY_ICMP = 3,
	DIRECTORY_ICMP6 = 4,
};

#if ROW_BITS == 8
typedef u8 row_cell;
#elif ROW_BITS == 16
typedef u16 row_cell;
#else
# error "ROW_BITS must be 8 or 16"
#endif

#if CLASS_BITS == 8
typedef u8 class_cell;
#elif CLASS_BITS == 16
typedef u16 class_cell;
#else
# error "CLASS_BITS must be 8 or 16"
#endif

#if ACTION_BITS == 8
typedef u8 action_cell;
#elif ACTION_BITS == 16
typedef u16 action_cell;
#else
# error "ACTION_BITS must be 8 or 16"
#endif

#if POLICY_MODE == POLICY_MODE_L3_ONLY || POLICY_MODE == POLICY_MODE_TABLES
struct row_page {
	row_cell cell[PAGE_CELLS];
};

/* One new identity is one store of the loader through a mapping, so this map alone can be mapped. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SET_AT_LOAD);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, struct row_page);
} id_row SEC(".maps");

/* Row of an identity index; row 0 denies. */
static __always_inline u32 table_row(u32 index)
{
	u32 number = index / PAGE_CELLS;
	const struct row_page *page = map_lookup_elem(&id_row, &number);

	return page ? page->cell[index % PAGE_CELLS] : 0;
}

struct action_page {
	action_cell cell[PAGE_CELLS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SET_AT_LOAD);
	__type(key, u32);
	__type(value, struct action_page);
} verdict SEC(".maps");

/* Action index of a row and a port class; action 0 denies. */
static __always_inline u32 table_verdict(u32 row, u32 class)
{
	u32 index = row << CLASS_SHIFT | class;
	u32 number = index / PAGE_CELLS;
	const struct action_page *page = map_lookup_elem(&verdict, &number);

	return page ? page->cell[index % PAGE_CELLS] : 0;
}

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SET_AT_LOAD);
	__type(key, u32);
	__type(value, struct action);
} actions SEC(".maps");

/* The action of an index, or NULL. */
static __always_inline const struct action *table_action(u32 index)
{
	return map_lookup_elem(&actions, &index);
}
#endif

#if POLICY_MODE == POLICY_MODE_TABLES
struct class_page {
	class_cell cell[PAGE_CELLS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SET_AT_LOAD);
	__type(key, u32);
	__type(value, struct class_page);
} port_class SEC(".maps");

/* Directory of a protocol that l4_min_length() let through. */
static __always_inline u32 table_directory(u8 proto)
{
	if (proto == PROTO_TCP)
		return DIRECTORY_TCP;
	if (proto == PROTO_UDP)
		return DIRECTORY_UDP;
	if (proto == PROTO_ICMP)
		return DIRECTORY_ICMP;
	if (proto == PROTO_ICMP6)
		return DIRECTORY_ICMP6;
	return DIRECTORY_SCTP;
}

/* Class of a port (or ICMP type), or a negative number when a page is missing. */
static __always_inline int table_class(u8 proto, u16 port)
{
	u32 number = table_directory(proto);
	const struct class_page *page;
	u32 place = port;

	/* Verifier of 6.1: "invalid access to map value": it forgot that a port has 16 bits, and clang did not. */
	asm volatile("" : "+r"(place));
	page = map_lookup_elem(&port_class, &number);
	if (!page)
		return -1;
	number = page->cell[place / PAGE_CELLS % PAGE_CELLS];
	page = map_lookup_elem(&port_class, &number);
	if (!page)
		return -1;
	return page->cell[place % PAGE_CELLS];
}
#endif
