package conf

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// badAddress returns why no server or group can own the address, or "".
func badAddress(a netip.Addr) (message, remedy string) {
	const remedyOwn = "write an address of the server's network"
	switch {
	case a.Zone() != "":
		return a.String() + " has a zone, which means another network on each server", "write an address without %"
	case a.Is4In6():
		return a.String() + " is an IPv4 address in IPv6 form", "write " + strconv.Quote(a.Unmap().String())
	case a.IsUnspecified(), a.Is4() && a.As4()[0] == 0:
		return a.String() + " is no machine's address", remedyOwn
	case a.IsLoopback():
		return a.String() + " is a loopback address, which no other machine reaches", remedyOwn
	case a.IsMulticast():
		return a.String() + " is a multicast address", remedyOwn
	case a.Is4() && a.As4()[0] >= 240:
		return a.String() + " is a broadcast or reserved address", remedyOwn
	case a.Is6() && a.IsLinkLocalUnicast():
		return a.String() + " is a link-local address, which needs a zone", "write a global or unique local address (fd00::/8)"
	}
	return "", ""
}

// parseAddr returns the address, or what is wrong and what to write.
func parseAddr(s string) (a netip.Addr, message, remedy string) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		if host, _, ok := strings.Cut(s, "/"); ok {
			if _, err := netip.ParseAddr(host); err == nil {
				return a, quote(s) + " has a prefix length", "write " + strconv.Quote(host)
			}
		}
		if ap, err := netip.ParseAddrPort(s); err == nil {
			return a, quote(s) + " has a port", "write " + strconv.Quote(ap.Addr().String()) + "; the port is cluster.port"
		}
		return a, quote(s) + " is not an IP address", `write one such as "10.0.0.11"; names are not looked up`
	}
	message, remedy = badAddress(a)
	return a, message, remedy
}

// parseFloating returns an address with or without /prefix; the prefix is -1 where
// there is none.
func parseFloating(s string) (f FloatingIP, message, remedy string) {
	f.Prefix = -1
	host, bits, hasPrefix := strings.Cut(s, "/")
	if f.Address, message, remedy = parseAddr(host); message != "" {
		return f, message, remedy
	}
	if !hasPrefix {
		return f, "", ""
	}
	most := f.Address.BitLen()
	n, err := strconv.Atoi(bits)
	if err != nil || n < 1 || n > most || strconv.Itoa(n) != bits {
		return f, fmt.Sprintf("%s: the prefix length is not 1 to %d", quote(s), most), fmt.Sprintf(`write the network's, such as "%s/24", or none`, host)
	}
	f.Prefix = n
	if network := netip.PrefixFrom(f.Address, n).Masked(); f.Address.Is4() && n <= 30 {
		switch f.Address {
		case network.Addr():
			return f, s + " is the address of the network itself", "write an address within " + network.String()
		case broadcast(network):
			return f, s + " is the broadcast address of " + network.String(), "write another address within it"
		}
	}
	return f, "", ""
}

// broadcast is the last address of an IPv4 network.
func broadcast(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	return netip.AddrFrom4(b)
}

// badInterface says what is wrong with an interface name, or "". 15 bytes are
// IFNAMSIZ less one; the kernel's dev_valid_name has the rest.
func badInterface(s string) string {
	switch {
	case s == "":
		return "is empty"
	case len(s) > 15:
		return fmt.Sprintf("%s has %d bytes, more than 15", quote(s), len(s))
	case s == "." || s == ".." || strings.ContainsAny(s, "/: \t\n\v\f\r") || strings.ContainsFunc(s, isControl):
		return quote(s) + " is not an interface's name"
	case s == "lo":
		return `"lo" is the loopback interface, which no client reaches`
	}
	return ""
}
