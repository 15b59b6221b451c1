/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ARP, which carries no policy but a sender that must not lie, and questions for the gateway. */
#pragma once

#include "abi/drop_reason.h"
#include "lib/endpoint.h"
#include "lib/ethernet.h"
#include "lib/gateway.h"
#include "lib/source.h"

enum {
	ARP_REQUEST = 1,
	ARP_REPLY = 2,
};

/* The frame as an endpoint with an Ethernet interface and an IPv4 address sends it. */
struct arp_frame {
	struct eth_header eth;
	be16 hardware_be;
	be16 protocol_be;
	u8 hardware_len;
	u8 protocol_len;
	be16 operation_be;
	u8 sender_mac[6];
	u8 sender_ip[4];
	u8 target_mac[6];
	u8 target_ip[4];
};

_Static_assert(sizeof(struct arp_frame) == ETH_HEADER_LEN + 28, "struct arp_frame");

/* An IPv4 address of the packet, which stands where no u32 may. */
static __always_inline be32 arp_address(const u8 *bytes)
{
	be32 address;

	__builtin_memcpy(&address, bytes, sizeof(address));
	return address;
}

/* Makes the request in @frame its own answer and sends it back. */
static __always_inline int arp_answer(struct __sk_buff *ctx, struct arp_frame *frame, u64 mac)
{
	u8 target_ip[4];

	__builtin_memcpy(frame->eth.destination, frame->sender_mac, 6);
	gateway_put_mac(frame->eth.source, mac);
	frame->operation_be = htons(ARP_REPLY);
	__builtin_memcpy(target_ip, frame->target_ip, 4);
	__builtin_memcpy(frame->target_mac, frame->sender_mac, 6);
	__builtin_memcpy(frame->target_ip, frame->sender_ip, 4);
	gateway_put_mac(frame->sender_mac, mac);
	__builtin_memcpy(frame->sender_ip, target_ip, 4);
	if (skb_store_bytes(ctx, 0, frame, sizeof(*frame), 0))
		return DROP_INVALID_PACKET;
	return gateway_send_back(ctx);
}

/*
 * What becomes of an ARP packet of the endpoint. It has to speak for itself: its own MAC address, and its own address or
 * none yet (a probe). A question for the gateway is answered, all else goes on.
 */
__global_function int arp_handle(struct __sk_buff *ctx)
{
	const struct endpoint *endpoint = endpoint_find(ctx);
	struct arp_frame frame __attribute__((aligned(8)));
	be32 sender;

	if (!endpoint)
		return DROP_EP_NOT_READY;
	if (skb_load_bytes(ctx, 0, &frame, sizeof(frame)))
		return DROP_INVALID_PACKET;
	if (frame.protocol_be != htons(ETH_IPV4) || frame.hardware_len != 6 || frame.protocol_len != 4)
		return DROP_INVALID_PACKET;
	sender = arp_address(frame.sender_ip);
	if (sender && sender != endpoint->ipv4_be)
		return DROP_INVALID_SOURCE_IP;
	if (!source_is_own_mac(eth_mac(frame.sender_mac), endpoint))
		return DROP_INVALID_SOURCE_IP;
	if (!sender || !endpoint->gateway_ipv4_be || frame.operation_be != htons(ARP_REQUEST) ||
	    arp_address(frame.target_ip) != endpoint->gateway_ipv4_be)
		return CTX_ACT_OK;
	return arp_answer(ctx, &frame, endpoint->gateway_mac);
}
