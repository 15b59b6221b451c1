/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connections. One entry stands for a flow and its replies: the key is written as the endpoint sees it, the value
 * remembers who began. For an ICMP echo the identifier stands in the port of the side that asks, so that a request
 * is never taken for the reply to another one.
 */
#pragma once

#include "abi/conntrack.h"
#include "abi/drop_reason.h"
#include "bpf/ctx.h"
#include "bpf/helpers.h"
#include "bpf/map.h"
#include "config/node.h"
#include "lib/endpoint.h"
#include "lib/flow.h"
#include "lib/l4.h"

enum {
	CT_EEXIST = 17,
};

#define CT_SECONDS(n) ((u64)(n) * 1000000000ULL)

/*
 * A hash, not an LRU: a full map refuses new flows and leaves the established ones alone. Entries are allocated one
 * by one, for most nodes never see half of what they are sized for.
 */
#if ENABLE_IPV4
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CT_ENTRIES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ct_key4);
	__type(value, struct ct_entry);
} conntrack4 SEC(".maps");
#endif

#if ENABLE_IPV6
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CT_ENTRIES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ct_key6);
	__type(value, struct ct_entry);
} conntrack6 SEC(".maps");
#endif

/* What the entry of a packet says about it. */
enum ct_state {
	CT_NEW,	/* no entry */
	CT_STALE,	/* an entry that the packet may overwrite */
	CT_FORWARD,	/* a later packet of the side that began */
	CT_REPLY,	/* a packet of the other side */
};

/* The flow's ports as the conntrack key has them. */
struct ct_ports {
	be16 local_be;
	be16 peer_be;
};

/* Whether the packet asks for an echo. */
static __always_inline bool ct_is_echo(const struct flow *flow)
{
	return flow->proto == PROTO_ICMP ? flow->icmp_type == ICMP_ECHO : flow->icmp_type == ICMP6_ECHO;
}

/* Whether the packet answers an echo. */
static __always_inline bool ct_is_echo_reply(const struct flow *flow)
{
	return flow->proto == PROTO_ICMP ? flow->icmp_type == ICMP_ECHO_REPLY : flow->icmp_type == ICMP6_ECHO_REPLY;
}

/* Whether the packet can have an entry at all. */
static __always_inline bool ct_is_tracked(const struct flow *flow)
{
	return !flow_is_icmp(flow) || ct_is_echo(flow) || ct_is_echo_reply(flow);
}

/* Whether the packet may begin a flow. An echo reply that nobody asked for is policed alone and leaves no trace. */
static __always_inline bool ct_may_create(const struct flow *flow)
{
	return !flow_is_icmp(flow) || ct_is_echo(flow);
}

static __always_inline struct ct_ports ct_flow_ports(const struct flow *flow, u8 direction)
{
	struct ct_ports ports = {};
	bool local_asks;

	if (flow_is_icmp(flow)) {
		local_asks = ct_is_echo(flow) == (direction == DIRECTION_EGRESS);
		if (local_asks)
			ports.local_be = flow->icmp_id_be;
		else
			ports.peer_be = flow->icmp_id_be;
	} else if (direction == DIRECTION_EGRESS) {
		ports.local_be = flow->source_port_be;
		ports.peer_be = flow->destination_port_be;
	} else {
		ports.local_be = flow->destination_port_be;
		ports.peer_be = flow->source_port_be;
	}
	return ports;
}

/* A key of either family. */
union ct_key {
	struct ct_key4 ipv4;
	struct ct_key6 ipv6;
};

/* The key of the packet's flow. */
static __always_inline void ct_fill_key(union ct_key *key, const struct flow *flow, u8 direction)
{
	const union address *local = flow_local(flow, direction);
	const union address *peer = flow_peer(flow, direction);
	struct ct_ports ports = ct_flow_ports(flow, direction);

	if (flow->family == 4)
		key->ipv4 = (struct ct_key4){
			.local_be = local->ipv4,
			.peer_be = peer->ipv4,
			.local_port_be = ports.local_be,
			.peer_port_be = ports.peer_be,
			.proto = flow->proto,
		};
	else {
		key->ipv6 = (struct ct_key6){
			.local_port_be = ports.local_be,
			.peer_port_be = ports.peer_be,
			.proto = flow->proto,
		};
		__builtin_memcpy(key->ipv6.local, local, sizeof(key->ipv6.local));
		__builtin_memcpy(key->ipv6.peer, peer, sizeof(key->ipv6.peer));
	}
}

/* The entry of a key, expired or not, or NULL. */
static __always_inline struct ct_entry *ct_lookup(u8 family, const union ct_key *key)
{
#if ENABLE_IPV4
	if (family == 4)
		return map_lookup_elem(&conntrack4, &key->ipv4);
#endif
#if ENABLE_IPV6
	if (family == 6)
		return map_lookup_elem(&conntrack6, &key->ipv6);
#endif
	return NULL;
}

/* Whether the packet opens a TCP connection. */
static __always_inline bool ct_opens(const struct flow *flow)
{
	return flow->proto == PROTO_TCP && (flow->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/*
 * What @entry says about a packet. A SYN on a connection that both sides closed begins another one, from whichever
 * side it comes: as a reply it would open a port behind policy's back.
 */
static __always_inline enum ct_state ct_classify(const struct ct_entry *entry, const struct flow *flow, u8 direction,
						 u64 now)
{
	if (!entry)
		return CT_NEW;
	if (entry->expires_ns <= now)
		return CT_STALE;
	if ((entry->flags & CT_CLOSING) == CT_CLOSING && ct_opens(flow))
		return CT_STALE;
	return entry->initiator == direction ? CT_FORWARD : CT_REPLY;
}

/* CT_* bits that a packet adds. */
static __always_inline u8 ct_flags(const struct flow *flow, bool reply)
{
	u8 flags = 0;

	if (flow->proto != PROTO_TCP)
		return 0;
	if (!(flow->tcp_flags & TCP_SYN))
		flags |= CT_SEEN_NON_SYN;
	if (flow->tcp_flags & TCP_FIN)
		flags |= reply ? CT_CLOSING_REPLY : CT_CLOSING_FORWARD;
	if (flow->tcp_flags & TCP_RST)
		flags |= CT_CLOSING;
	return flags;
}

/* How long a flow in a state may rest. */
static __always_inline u64 ct_timeout(const struct flow *flow, u8 flags)
{
	if (flow->proto != PROTO_TCP)
		return CT_SECONDS(CT_ANY_TIMEOUT_SECS);
	if ((flags & CT_CLOSING) == CT_CLOSING)
		return CT_SECONDS(CT_TCP_FIN_TIMEOUT_SECS);
	if (flags & CT_SEEN_NON_SYN)
		return CT_SECONDS(CT_TCP_TIMEOUT_SECS);
	return CT_SECONDS(CT_TCP_SYN_TIMEOUT_SECS);
}

/* Counts a packet that passed on its entry, and gives the flow more time. */
static __always_inline void ct_refresh(struct ct_entry *entry, const struct flow *flow, bool reply, u64 now)
{
	u8 flags = entry->flags | ct_flags(flow, reply);

	__sync_fetch_and_add(&entry->packets, 1);
	__sync_fetch_and_add(&entry->bytes, flow->length);
	/* What comes behind the last FIN does not keep the entry alive. */
	if ((entry->flags & CT_CLOSING) != CT_CLOSING)
		entry->expires_ns = now + ct_timeout(flow, flags);
	if (entry->flags != flags)
		entry->flags = flags;
	if (!reply && entry->generation != generation)
		entry->generation = generation;
}

/* Records a flow that policy allows; @over says that a stale entry is in the way. */
static __always_inline int ct_create(const union ct_key *key, const struct flow *flow, u8 direction, bool over, u64 now)
{
	u8 flags = ct_flags(flow, false);
	struct ct_entry entry = {
		.expires_ns = now + ct_timeout(flow, flags),
		.packets = 1,
		.bytes = flow->length,
		.generation = generation,
		.initiator = direction,
		.flags = flags,
	};
	u64 how = over ? BPF_ANY : BPF_NOEXIST;
	long ret = -1;

#if ENABLE_IPV4
	if (flow->family == 4)
		ret = map_update_elem(&conntrack4, &key->ipv4, &entry, how);
#endif
#if ENABLE_IPV6
	if (flow->family == 6)
		ret = map_update_elem(&conntrack6, &key->ipv6, &entry, how);
#endif
	/* Another CPU was first with a packet of the same flow. */
	if (!ret || ret == -CT_EEXIST)
		return CTX_ACT_OK;
	return DROP_CT_MAP_INSERT_FAILED;
}

/* Forgets a flow that policy allows no longer: its replies stop with it. */
static __always_inline void ct_delete(u8 family, const union ct_key *key)
{
#if ENABLE_IPV4
	if (family == 4)
		map_delete_elem(&conntrack4, &key->ipv4);
#endif
#if ENABLE_IPV6
	if (family == 6)
		map_delete_elem(&conntrack6, &key->ipv6);
#endif
}
