// Package lab makes virtual servers on one machine, for tests, for the demo and for
// measurements: real interfaces, real ARP, real processes, real reboots, and faults
// on request. The same batond and baton that users run run in it.
//
// A server is a set of Linux namespaces (net, mount, pid, uts, ipc, cgroup) with an
// init of its own. Its network cards are veth pairs into the switch room, a network
// namespace of bridges:
//
//	lan1    192.168.100.0/24  servers .1 .2 .3 ...              eth0
//	lan2    192.168.101.0/24  servers .1 .2 .3 ...  (optional)  eth1
//	public  10.0.0.0/24       servers .11 .12 ...               ethP
//	                          client .200, gateway .254, floating IPs .101 ...
//
// Everything is done by netlink and system calls; no shell tools, no modules beyond
// veth, bridge and (for one-way faults) nf_tables.
//
// # The world
//
// All of that lives in a world: a second copy of the running program, inside
// namespaces that nothing of the host can be reached from. Call Main from TestMain, or
// Enter first thing in main. Root is not needed: an ordinary user's world is a user
// namespace. The world's processes are all in one pid namespace, so that when its
// first process ends, however it ends, nothing is left.
//
// # A scenario
//
//	c := lab.Start(t, lab.Servers(3), lab.Timeout(time.Second))
//	p := c.Probe("A")
//	c.PowerCut(c.Carrier("A"))
//	c.WaitOnline("A")
//	gap := p.Stop()
//	c.Verify()
//
// Two layers: Lab and Server return errors and know nothing of tests; Cluster, which
// Start makes, is a Lab with batond on every server whose methods end the test instead.
//
// Methods of Lab, Server and Cluster may be called from any goroutine, but faults on
// one server at a time.
//
// What it is not: a simulator. Time is real, so is the scheduler; what must hold
// under every order of events is held by core/sim.
//
// Sources: namespaces(7), veth(4), pid_namespaces(7), user_namespaces(7),
// netlink(7), packet(7), RFC 826 and 5227 for what the ARP witness takes for an
// answer.
package lab
