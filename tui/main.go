// The command baton: the console of a cluster, and its commands. It knows the cluster
// only through its batond (package daemon/api).
package main

import (
	"os"

	"baton/tui/command"
)

// version is set by the linker.
var version = "unknown"

func main() { os.Exit(command.Run(version, os.Args[1:])) }
