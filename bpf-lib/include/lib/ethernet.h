/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The Ethernet header. */
#pragma once

#include "abi/drop_reason.h"
#include "bpf/ctx.h"
#include "bpf/endian.h"

enum {
	ETH_HEADER_LEN = 14,
};

enum {
	ETH_IPV4 = 0x0800,
	ETH_ARP = 0x0806,
	ETH_IPV6 = 0x86dd,
	ETH_VLAN = 0x8100,
	ETH_VLAN_OUTER = 0x88a8,
};

struct eth_header {
	u8 destination[6];
	u8 source[6];
	be16 protocol_be;
};

_Static_assert(sizeof(struct eth_header) == ETH_HEADER_LEN, "struct eth_header");

/* L3 protocol of the frame in host order, or DROP_*. A VLAN tag is refused, wherever it stands. */
static __always_inline int eth_protocol(struct __sk_buff *ctx)
{
	struct eth_header header;
	int protocol;

	if (ctx->vlan_present)
		return DROP_VLAN_FILTERED;
	if (skb_load_bytes(ctx, 0, &header, sizeof(header)))
		return DROP_INVALID_PACKET;
	protocol = ntohs(header.protocol_be);
	return protocol == ETH_VLAN || protocol == ETH_VLAN_OUTER ? DROP_VLAN_FILTERED : protocol;
}
