// The command man writes the manual pages of baton, one for each of its commands, from
// what the commands say of themselves. batond's is written by hand: daemon/batond.8.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"baton/tui/command"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: man DIR")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "man:", err)
		os.Exit(1)
	}
}

// write writes every page into the directory. The date is SOURCE_DATE_EPOCH's where that
// is set, so that a build can be repeated.
func write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root := command.Root()
	quiet(root)
	return doc.GenManTree(root, &doc.GenManHeader{Title: "BATON", Section: "1", Source: "baton", Manual: "baton failover cluster"}, dir)
}

// quiet leaves out the line that names the generator.
func quiet(c *cobra.Command) {
	c.DisableAutoGenTag = true
	for _, sub := range c.Commands() {
		quiet(sub)
	}
}
