package command

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"baton/conf"
)

// The commands that need no daemon.

func checkCommand(sys *system) *cobra.Command {
	return &cobra.Command{
		Use: "check FILE", Short: "Check a configuration file: every fault with its line and what to write instead", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if !conf.Check(sys.out, args[0]) {
				return &failure{code: exitFailed, err: fmt.Errorf("%s cannot be used", args[0])}
			}
			return nil
		},
	}
}

func keygenCommand(sys *system) *cobra.Command {
	return &cobra.Command{
		Use: "keygen", Short: "Print a new cluster key: baton keygen > /etc/baton/cluster.key (mode 0600, the same file on every server)", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprint(sys.out, conf.GenerateKey())
			return err
		},
	}
}

func versionCommand(sys *system) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(sys.out, "baton %s (%s)\n", sys.version, runtime.Version())
			return err
		},
	}
}
