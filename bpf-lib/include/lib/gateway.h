/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The endpoint's gateway on the link: where the loader was told its address, the program says by itself which MAC address
 * it has, as the host would. Questions for any other address go on to the host.
 */
#pragma once

#include "lib/endpoint.h"
#include "lib/ethernet.h"
#include "lib/flow.h"
#include "lib/metrics.h"

/* A MAC address as it stands in a packet. */
static __always_inline void gateway_put_mac(u8 *bytes, u64 mac)
{
	__builtin_memcpy(bytes, &mac, 6);
}

/* The frame, which is an answer now, goes back to the endpoint: CTX_ACT_REDIRECT. */
static __always_inline int gateway_send_back(struct __sk_buff *ctx)
{
	metrics_count(CTX_ACT_OK, DIRECTION_EGRESS, ctx->len - ETH_HEADER_LEN);
	return redirect(ctx->ifindex, 0) == CTX_ACT_REDIRECT ? CTX_ACT_REDIRECT : DROP_INVALID_PACKET;
}
