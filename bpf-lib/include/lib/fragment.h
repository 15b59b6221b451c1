/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fragments. Only the first one has an L4 header; the others get what it said, and policy and conntrack judge each of
 * them alone. Whoever forgets a datagram loses the rest of it, so nothing here can open a way.
 */
#pragma once

#include "abi/drop_reason.h"
#include "abi/fragment.h"
#include "bpf/helpers.h"
#include "bpf/map.h"
#include "lib/flow.h"
#include "lib/l4.h"

/* The least recently used go first: a datagram is either whole in a moment or never. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FRAGMENTS_MAX);
	__type(key, struct fragment_key);
	__type(value, struct fragment_head);
} fragments SEC(".maps");

static __always_inline void fragment_fill_key(struct fragment_key *key, const struct flow *flow)
{
	*key = (struct fragment_key){
		.id = flow->fragment_id,
		.family = flow->family,
		.proto = flow->family == 4 ? flow->proto : 0,
	};
	__builtin_memcpy(key->source, &flow->source, sizeof(key->source));
	__builtin_memcpy(key->destination, &flow->destination, sizeof(key->destination));
}

/* Remembers a first fragment whose source is known to be no lie. The answer is 0: a global function has to give one. */
__global_function int fragment_remember(const struct flow *flow)
{
	struct fragment_head head = {};
	struct fragment_key key;

	/* Verifier: "R1 invalid mem access 'mem_or_null'"; no caller passes NULL. */
	if (!flow)
		return 0;
	head.source_port_be = flow->source_port_be;
	head.destination_port_be = flow->destination_port_be;
	head.proto = flow->proto;
	head.icmp_type = flow->icmp_type;
	head.icmp_code = flow->icmp_code;
	head.tcp_flags = flow->tcp_flags;
	fragment_fill_key(&key, flow);
	map_update_elem(&fragments, &key, &head, BPF_ANY);
	return 0;
}

/*
 * Gives a later fragment what its first one said: CTX_ACT_OK, or DROP_*. One that would overwrite a part of the L4
 * header when it is put in its place is refused (RFC 1858).
 */
__global_function int fragment_recall(struct flow *flow)
{
	const struct fragment_head *head;
	struct fragment_key key;
	int least;

	/* Verifier: as above. */
	if (!flow)
		return DROP_INVALID_PACKET;
	fragment_fill_key(&key, flow);
	head = map_lookup_elem(&fragments, &key);
	if (!head)
		return DROP_FRAG_NOT_FOUND;
	least = l4_min_length(flow->family, head->proto);
	if (least < 0)
		return least;
	if (flow->fragment_offset < (u32)least)
		return DROP_INVALID_PACKET;
	flow->proto = head->proto;
	flow->source_port_be = head->source_port_be;
	flow->destination_port_be = head->destination_port_be;
	flow->icmp_type = head->icmp_type;
	flow->icmp_code = head->icmp_code;
	flow->tcp_flags = head->tcp_flags;
	return CTX_ACT_OK;
}
