/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connections. One entry stands for a flow and its replies: the key is written as the endpoint sees it, the value
 * remembers who began.
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
#include "lib/report.h"

enum {
	CT_E2BIG = 7,
	CT_EEXIST = 17,
};

enum {
	CT_SWEEP_PAUSE_SECS = 2,	/* between two sweeps of a family */
	CT_SWEEP_WHOLE_SECS = 32,	/* in which one sweep may walk through the whole map */
	CT_SWEEP_VISITS_MAX = 65536,	/* entries that the others look at */
	CT_SWEEP_REMOVALS_MAX = 16384,	/* entries that any of them removes */
};

/*
 * A hash, not an LRU: a map full of living flows refuses new ones and leaves the established alone. Entries are
 * allocated one by one, for most nodes never see half of what they are sized for.
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

/* When a CPU of the node last began to sweep the IPv4 entries, and the IPv6 ones: monotonic time. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, u32);
	__type(value, u64);
} ct_swept SEC(".maps");

/* What the entry of a packet says about it. */
enum ct_state {
	CT_NEW,	/* no entry */
	CT_STALE,	/* an entry that the packet may overwrite */
	CT_FORWARD,	/* a later packet of the side that began */
	CT_REPLY,	/* a packet of the other side */
};

/* Whether the packet can have an entry at all. */
static __always_inline bool ct_is_tracked(const struct flow *flow)
{
	return !flow_is_icmp(flow) || l4_is_echo(flow) || l4_is_echo_reply(flow);
}

/* Whether the packet may begin a flow. An echo reply that nobody asked for is policed alone and leaves no trace. */
static __always_inline bool ct_may_create(const struct flow *flow)
{
	return !flow_is_icmp(flow) || l4_is_echo(flow);
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
	bool sent = direction == DIRECTION_EGRESS;
	be16 local_port_be = sent ? flow->source_port_be : flow->destination_port_be;
	be16 peer_port_be = sent ? flow->destination_port_be : flow->source_port_be;

	if (flow->family == 4)
		key->ipv4 = (struct ct_key4){
			.local_be = local->ipv4,
			.peer_be = peer->ipv4,
			.local_port_be = local_port_be,
			.peer_port_be = peer_port_be,
			.proto = flow->proto,
		};
	else {
		key->ipv6 = (struct ct_key6){
			.local_port_be = local_port_be,
			.peer_port_be = peer_port_be,
			.proto = flow->proto,
		};
		__builtin_memcpy(key->ipv6.local, local, sizeof(key->ipv6.local));
		__builtin_memcpy(key->ipv6.peer, peer, sizeof(key->ipv6.peer));
	}
}

/* Writes the key of the packet's flow; the entry that has it, expired or not, or NULL. */
static __always_inline struct ct_entry *ct_find(const struct flow *flow, u8 direction, union ct_key *key)
{
	ct_fill_key(key, flow, direction);
#if ENABLE_IPV4
	if (flow->family == 4)
		return map_lookup_elem(&conntrack4, &key->ipv4);
#endif
#if ENABLE_IPV6
	if (flow->family == 6)
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
 * What @entry says about a packet. A SYN on a connection that both sides closed, or that policy ended, begins another one,
 * from whichever side it comes: as a reply it would open a port behind policy's back.
 */
static __always_inline enum ct_state ct_classify(const struct ct_entry *entry, const struct flow *flow, u8 direction,
						 u64 now)
{
	if (!entry)
		return CT_NEW;
	if (entry->expires_ns <= now)
		return CT_STALE;
	if (ct_opens(flow) && ((entry->flags & CT_CLOSING) == CT_CLOSING || entry->generation == CT_GENERATION_ENDED))
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

/* When a flow in a state ends unless another packet comes. */
static __always_inline u64 ct_expiry(const struct flow *flow, u8 flags, u64 now)
{
	u64 seconds = CT_TCP_SYN_TIMEOUT_SECS;

	if (flow->proto != PROTO_TCP)
		seconds = CT_ANY_TIMEOUT_SECS;
	else if ((flags & CT_CLOSING) == CT_CLOSING)
		seconds = CT_TCP_FIN_TIMEOUT_SECS;
	else if (flags & CT_SEEN_NON_SYN)
		seconds = CT_TCP_TIMEOUT_SECS;
	return now + seconds * NSEC_PER_SEC;
}

/* Counts a packet that passed on its entry, and gives the flow more time. Whether the packet is to be reported. */
static __always_inline bool ct_refresh(struct ct_entry *entry, const struct flow *flow, u8 direction, bool reply,
				       u64 now)
{
	u8 flags = entry->flags | ct_flags(flow, reply);
	u64 stamp = entry->expires_ns;
	bool report = report_is_due(entry, flow, direction, now, &stamp, &flags);
	u64 expires_ns = stamp;

	__sync_fetch_and_add(&entry->packets, 1);
	__sync_fetch_and_add(&entry->bytes, flow->length);
	/* What comes behind the last FIN does not keep the entry alive. */
	if ((entry->flags & CT_CLOSING) != CT_CLOSING)
		expires_ns = ct_expiry(flow, flags, now);
	entry->expires_ns = (expires_ns & ~REPORT_CLOCK_MASK) | (stamp & REPORT_CLOCK_MASK);
	if (entry->flags != flags)
		entry->flags = flags;
	if (!reply && entry->generation != generation)
		entry->generation = generation;
	return report;
}

/* One walk through a map. */
struct ct_walk {
	u64 now;
	u32 visits_left;
	u32 removals_left;
};

static long ct_sweep_entry(const void *map, const void *key, const struct ct_entry *entry, struct ct_walk *walk)
{
	if (entry->expires_ns <= walk->now && !map_delete_elem(map, key))
		walk->removals_left--;
	walk->visits_left--;
	return !walk->visits_left || !walk->removals_left;
}

/*
 * Makes room in a full map: removes entries that have expired. 1 when it looked for some, 0 when somebody did so a
 * moment ago. Nobody else removes expired entries, and no daemon has to.
 *
 * The packet that finds the map full pays for it, so the work has an end. A walk removes CT_SWEEP_REMOVALS_MAX entries
 * at most; when it did, the next one need not wait, for it has made room for as many flows. It visits
 * CT_SWEEP_VISITS_MAX entries, but for the first one in each CT_SWEEP_WHOLE_SECS: every walk begins at the same end, and
 * behind living flows that are met first there may be expired ones. Half a million visits take 60 ms or more.
 */
__global_function int ct_sweep(u32 family, u64 now)
{
	struct ct_walk walk = { .now = now, .visits_left = CT_ENTRIES_MAX, .removals_left = CT_SWEEP_REMOVALS_MAX };
	u32 index = family == 6;
	u64 *swept = map_lookup_elem(&ct_swept, &index);
	u64 last;

	if (!swept)
		return 0;
	last = *swept;
	if (last && now < last + (u64)CT_SWEEP_PAUSE_SECS * NSEC_PER_SEC)
		return 0;
	if (__sync_val_compare_and_swap(swept, last, now) != last)
		return 0;
	if (now / ((u64)CT_SWEEP_WHOLE_SECS * NSEC_PER_SEC) == last / ((u64)CT_SWEEP_WHOLE_SECS * NSEC_PER_SEC))
		walk.visits_left = CT_SWEEP_VISITS_MAX;
#if ENABLE_IPV4
	if (family == 4)
		for_each_map_elem(&conntrack4, ct_sweep_entry, &walk, 0);
#endif
#if ENABLE_IPV6
	if (family == 6)
		for_each_map_elem(&conntrack6, ct_sweep_entry, &walk, 0);
#endif
	if (!walk.removals_left)
		*swept = 0;
	return 1;
}

/* Adds an entry, or with BPF_ANY overwrites it. */
static __noinline long ct_insert(u8 family, const union ct_key *key, const struct ct_entry *entry, u64 how)
{
#if ENABLE_IPV4
	if (family == 4)
		return map_update_elem(&conntrack4, &key->ipv4, entry, how);
#endif
#if ENABLE_IPV6
	if (family == 6)
		return map_update_elem(&conntrack6, &key->ipv6, entry, how);
#endif
	return -1;
}

/* Records a flow that policy allows; @over says that a stale entry is in the way. */
static __always_inline int ct_create(const union ct_key *key, const struct flow *flow, u8 direction, bool over, u64 now)
{
	u8 flags = ct_flags(flow, false);
	struct ct_entry entry = {
		.expires_ns = report_begin(ct_expiry(flow, flags, now), now),
		.packets = 1,
		.bytes = flow->length,
		.generation = generation,
		.initiator = direction,
		.flags = flags | (direction == DIRECTION_EGRESS ? CT_TOLD_SENT : CT_TOLD_RECEIVED),
	};
	/* A sweep may have removed the stale entry meanwhile, and BPF_ANY takes that as well. */
	u64 how = over ? BPF_ANY : BPF_NOEXIST;
	long ret;

	entry.tcp_told[direction] = flow->tcp_flags;
	ret = ct_insert(flow->family, key, &entry, how);
	if (ret == -CT_E2BIG && ct_sweep(flow->family, now))
		ret = ct_insert(flow->family, key, &entry, how);
	/* Another CPU was first with a packet of the same flow. */
	if (!ret || ret == -CT_EEXIST)
		return CTX_ACT_OK;
	return DROP_CT_MAP_INSERT_FAILED;
}

/*
 * Ends a flow that policy allows no longer. The entry stays for as long as it would have anyway: were it gone, the next
 * packet of the other side would pass for the first one of a flow of its own, which its policy may allow.
 */
static __always_inline void ct_end(struct ct_entry *entry)
{
	entry->generation = CT_GENERATION_ENDED;
}
