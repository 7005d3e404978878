package seccomp

import "golang.org/x/sys/unix"

// fionbio is FIONBIO of ioctl(2), on both architectures.
const fionbio = 0x5421

// reaching is what programs of a person's need beyond the usual ones to reach other
// hosts: TCP and UDP as a client, what name services and ssh ask for. There is no
// socket of another protocol, none that waits for others (listen and accept are not
// there; Landlock keeps TCP from being bound), no path to a service of this host
// through a socket in its file system or an abstract one, and of a socket's options
// those that usual programs set.
func reaching() Set {
	calls := []Call{
		{Name: "connect", Who: "the connection"},
		{Name: "bind", Who: "datagrams that come back; multicast"},
		{Name: "getsockopt", Who: "whether the connection was made"},
		{Name: "getpeername", Who: "messages name the peer"},
		{Name: "getsockname", Who: "by which address a host is reached"},
		{Name: "shutdown", Who: "the end of what is sent"},
		{Name: "sendto", Who: "asks a name server; sends"},
		{Name: "recvfrom", Who: "its answer; receives"},
		{Name: "sendmsg", Who: "the same"},
		{Name: "recvmsg", Who: "the same"},
		{Name: "sendmmsg", Who: "asks a name server for addresses of both kinds"},
		{Name: "ioctl", If: when(eq(1, unix.TIOCINQ)), Who: "how long an answer is"},
		{Name: "ioctl", If: when(eq(1, fionbio)), Who: "sockets that do not block"},
		{Name: "ioctl", If: when(eq(1, unix.SIOCGIFINDEX)), Who: "the number of an interface by its name (if_nametoindex(3)): uftp, for each that this host has"},
		{Name: "socket", If: when(eq(0, unix.AF_NETLINK), eq(2, unix.NETLINK_ROUTE)), Who: "which addresses this host has; to change them takes a right that it has not"},
	}
	for _, family := range []uint32{unix.AF_INET, unix.AF_INET6} {
		for _, protocol := range []uint32{0, unix.IPPROTO_TCP} {
			calls = append(calls, Call{Name: "socket", If: when(eq(0, family), stream(1), eq(2, protocol)), Who: "TCP, as a client"})
		}
		for _, protocol := range []uint32{0, unix.IPPROTO_UDP} {
			calls = append(calls, Call{Name: "socket", If: when(eq(0, family), datagram(1), eq(2, protocol)), Who: "UDP: name servers, multicast"})
		}
	}
	for _, set := range []struct {
		level   uint32
		options []uint32
	}{
		{unix.SOL_SOCKET, []uint32{unix.SO_REUSEADDR, unix.SO_BROADCAST, unix.SO_SNDBUF, unix.SO_RCVBUF, unix.SO_KEEPALIVE, unix.SO_OOBINLINE,
			unix.SO_LINGER, unix.SO_RCVTIMEO, unix.SO_SNDTIMEO}},
		{unix.IPPROTO_IP, []uint32{unix.IP_TOS, unix.IP_TTL, unix.IP_PKTINFO, unix.IP_MTU_DISCOVER, unix.IP_RECVERR, unix.IP_BIND_ADDRESS_NO_PORT,
			unix.IP_MULTICAST_IF, unix.IP_MULTICAST_TTL, unix.IP_MULTICAST_LOOP, unix.IP_ADD_MEMBERSHIP, unix.IP_DROP_MEMBERSHIP,
			unix.MCAST_JOIN_GROUP, unix.MCAST_LEAVE_GROUP, unix.IP_ADD_SOURCE_MEMBERSHIP, unix.IP_DROP_SOURCE_MEMBERSHIP}},
		{unix.IPPROTO_IPV6, []uint32{unix.IPV6_V6ONLY, unix.IPV6_UNICAST_HOPS, unix.IPV6_MTU_DISCOVER, unix.IPV6_RECVERR, unix.IPV6_RECVPKTINFO, unix.IPV6_TCLASS,
			unix.IPV6_MULTICAST_IF, unix.IPV6_MULTICAST_HOPS, unix.IPV6_MULTICAST_LOOP, unix.IPV6_JOIN_GROUP, unix.IPV6_LEAVE_GROUP}},
		{unix.IPPROTO_TCP, []uint32{unix.TCP_NODELAY, unix.TCP_MAXSEG, unix.TCP_CORK, unix.TCP_KEEPIDLE, unix.TCP_KEEPINTVL, unix.TCP_KEEPCNT,
			unix.TCP_SYNCNT, unix.TCP_QUICKACK, unix.TCP_USER_TIMEOUT}},
	} {
		for _, option := range set.options {
			calls = append(calls, Call{Name: "setsockopt", If: when(eq(1, set.level), eq(2, option)), Who: "how a connection, or what is sent, is to be"})
		}
	}
	return Set{"reaching", calls}
}
