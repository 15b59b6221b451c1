/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the source of a packet says about where it comes from. */
#pragma once

#include "lib/icmp6.h"

/*
 * Whether a frame has the endpoint's MAC address as its source, or nobody said which that is. @mac is what
 * eth_protocol() read.
 */
static __always_inline bool source_is_own_mac(u64 mac, const struct endpoint *endpoint)
{
	return !endpoint->mac || !((mac ^ endpoint->mac) << 16);
}

/* An IPv4 source that is not the endpoint's own is a lie; an endpoint without an IPv4 address may not use one. */
static __always_inline bool source_is_own(const struct flow *flow, const struct endpoint *endpoint)
{
	if (flow->family == 4)
		return endpoint->ipv4_be && flow->source.ipv4 == endpoint->ipv4_be;
	return ipv6_is_own(&flow->source, endpoint);
}

/* Whether no router forwards packets of this IPv6 source: link-local, or none yet. */
static __always_inline bool source_is_unrouted(const struct flow *flow)
{
	return ipv6_is_link_local(&flow->source) || !(flow->source.hi | flow->source.lo);
}

/* Whether the source is one that the endpoint's own housekeeping may have. */
static __always_inline bool source_is_on_link(const struct flow *flow, const struct endpoint *endpoint)
{
	return ipv6_is_own(&flow->source, endpoint) || source_is_unrouted(flow);
}
