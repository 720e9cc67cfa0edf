package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"baton/conf"
	"baton/daemon/api"
)

// version is set by the linker (Makefile).
var version = "unknown"

// defaultConfig is where packaging puts the configuration file.
const defaultConfig = "/etc/baton/baton.toml"

// options are batond's command line.
type options struct {
	config    string
	server    string // "": the host name
	stateDir  string // "": that of the configuration
	socket    string
	logLevel  string
	logFormat string
	cleanup   bool
}

const usage = `batond runs one server of a baton cluster, in the foreground.

usage: batond --config FILE [--server NAME] [--state-dir DIR] [--socket PATH]
       batond --cleanup [--config FILE] [--server NAME] [--state-dir DIR]
       batond --witness [--listen ADDRESS] [--keys DIR] [--state-dir DIR]

`

const signalHelp = `
signals:
  TERM, INT   hand the groups over to other servers, then end; a second one ends at once
  HUP         execute the program file anew, with a new configuration; groups go on running
`

// errPrinted is no error: what was asked for has been printed.
var errPrinted = errors.New("printed")

// parseOptions reads the command line. What it has to say goes to out.
func parseOptions(args []string, out io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("batond", flag.ContinueOnError)
	f.SetOutput(io.Discard) // errors are returned, and printed once
	f.StringVar(&o.config, "config", defaultConfig, "configuration `FILE`")
	f.StringVar(&o.server, "server", "", "`NAME` of this server in the configuration (default: the host name)")
	f.StringVar(&o.stateDir, "state-dir", "", "`DIR` for what must survive a boot (default: cluster.state_dir)")
	f.StringVar(&o.socket, "socket", api.DefaultSocket, "`PATH` of the socket for console and commands")
	f.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&o.logFormat, "log-format", "text", "text or json")
	f.BoolVar(&o.cleanup, "cleanup", false, "clear what is left of the groups where batond and its guard are both gone, and end")
	printVersion := f.Bool("version", false, "print the version and end")
	err := f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(out, usage)
		f.SetOutput(out)
		f.PrintDefaults()
		fmt.Fprint(out, signalHelp)
		return o, errPrinted
	case err != nil:
		return o, fmt.Errorf("%w; batond --help lists the options", err)
	case f.NArg() > 0:
		return o, fmt.Errorf("%q: batond takes options only; batond --help lists them", f.Arg(0))
	case *printVersion:
		fmt.Fprintln(out, "batond", version)
		return o, errPrinted
	}
	return o, nil
}

// serverName finds this server in the configuration: by --server, else by the host
// name, with or without its domain.
func (o options) serverName(c *conf.Config) (string, error) {
	if o.server != "" {
		if c.Index(o.server) < 0 {
			return "", fmt.Errorf("--server %s: %s has no such server; it has %s", o.server, c.File(), strings.Join(serverNames(c), ", "))
		}
		return o.server, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("host name: %w; name the server by --server", err)
	}
	short, _, _ := strings.Cut(host, ".")
	for _, name := range []string{host, short} {
		if c.Index(name) >= 0 {
			return name, nil
		}
	}
	return "", fmt.Errorf("%s has no server with this machine's host name %q; it has %s: rename one or give --server", c.File(), host, strings.Join(serverNames(c), ", "))
}
