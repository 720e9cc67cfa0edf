package command

import (
	"fmt"

	"github.com/spf13/cobra"

	"baton/daemon/tiebreak/disk"
)

// diskCommand prepares CLUSTER partitions. It needs no daemon, and none may be using
// the device.
func diskCommand(sys *system) *cobra.Command {
	parent := &cobra.Command{Use: "disk", Short: "Prepare the CLUSTER partition on a shared disk", Args: cobra.NoArgs}
	parent.RunE = func(*cobra.Command, []string) error { return usage("say what to do: baton disk init DEVICE") }
	var force bool
	c := &cobra.Command{
		Use:   "init DEVICE",
		Short: "Prepare DEVICE as a CLUSTER partition, unless it holds anything else",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			id, err := disk.Init(args[0], force)
			if err != nil {
				return err
			}
			fmt.Fprintf(sys.out, "%s is a CLUSTER partition now (id %v)\n", args[0], id)
			return nil
		},
	}
	c.Flags().BoolVar(&force, "force", false, "also a CLUSTER partition that a cluster has used; it must not be running")
	parent.AddCommand(c)
	return parent
}
