/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which packets of a connection are reported. Where not each one is: in an interval the first of either direction, and
 * those with a TCP flag that their direction had not shown yet. All that it takes to know stands in the entry, in words
 * that a packet reads and writes anyway.
 */
#pragma once

#include "abi/conntrack.h"
#include "bpf/compiler.h"
#include "bpf/helpers.h"
#include "config/node.h"
#include "lib/l4.h"

/* Of `expires_ns`. */
#define REPORT_CLOCK_MASK ((1ULL << CT_REPORT_CLOCK_BITS) - 1)
#define REPORT_INTERVAL_TICKS ((((u64)MONITOR_INTERVAL_SECS * NSEC_PER_SEC) >> CT_REPORT_TICK_SHIFT) + 1)
/* TCP flags that are news. The end of a connection always is, as in Cilium. */
#define REPORT_TCP_FLAGS (MONITOR_TCP_FLAGS | TCP_FIN | TCP_RST)

/* @expires_ns with the tick of @now, in which an interval begins. */
static __always_inline u64 report_begin(u64 expires_ns, u64 now)
{
	return (expires_ns & ~REPORT_CLOCK_MASK) | (now >> CT_REPORT_TICK_SHIFT & REPORT_CLOCK_MASK);
}

/* Whether a packet is to be reported. @stamp is what the entry's `expires_ns` was, or begins another interval. */
static __always_inline bool report_is_due(struct ct_entry *entry, const struct flow *flow, u8 direction, u64 now,
					  u64 *stamp, u8 *flags)
{
#if MONITOR_AGGREGATION >= MONITOR_AGGREGATION_ACTIVE_CT
	u8 told = direction == DIRECTION_EGRESS ? CT_TOLD_SENT : CT_TOLD_RECEIVED;

	if (unlikely((((now >> CT_REPORT_TICK_SHIFT) - *stamp) & REPORT_CLOCK_MASK) >= REPORT_INTERVAL_TICKS)) {
		*stamp = report_begin(*stamp, now);
		*flags &= (u8)~CT_TOLD;
	}
	if (likely((*flags & told) && !(flow->tcp_flags & REPORT_TCP_FLAGS & ~entry->tcp_told[direction])))
		return false;
	*flags |= told;
	entry->tcp_told[direction] |= flow->tcp_flags;
#endif
	return true;
}

/* Whether an ICMP error about a flow is to be reported: one in an interval is, which the flow's own packets end. */
static __always_inline bool report_is_due_related(struct ct_entry *entry)
{
#if MONITOR_AGGREGATION >= MONITOR_AGGREGATION_ACTIVE_CT
	if (entry->flags & CT_TOLD_RELATED)
		return false;
	entry->flags |= CT_TOLD_RELATED;
#endif
	return true;
}
