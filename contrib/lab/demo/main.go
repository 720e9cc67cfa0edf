// The demo makes a cluster of three virtual servers (-servers, -tiebreaker) with three groups and opens the
// console on it, in this terminal. Keys of its own cut power, pull cables and boot
// servers; a client in the lab goes on asking a web server behind one group's floating
// IP, and the line above the footer says who answers. q takes everything down.
//
// It needs neither root nor anything installed (see package lab). With -script it
// reads lines from standard input instead of showing the console, those of the lab
// command; the words "ask web" there ask the web server's address.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"baton/conf"
	"baton/contrib/lab"
	"baton/core/cluster"
	"baton/daemon/api"
	"baton/tui/console"
	"baton/tui/words"
)

// The demo's times: quick enough to watch, slow enough that a laptop that sleeps a
// little does not fail over.
const (
	interval = 100 * time.Millisecond
	timeout  = time.Second
	// startLimit is for building batond for the first time as well.
	startLimit = 2 * time.Minute
)

func main() {
	began := time.Now()
	lab.Enter()
	script := flag.Bool("script", false, "read commands from standard input instead of showing the console")
	o := lab.Options{Interval: interval, Timeout: timeout}
	flag.IntVar(&o.Servers, "servers", 3, "how many servers, 2 to 16")
	flag.StringVar(&o.Tiebreaker, "tiebreaker", conf.TiebreakerNone, "none, disk, witness or ping: who decides when exactly half of the servers is left")
	flag.Parse()
	if err := run(*script, o, began); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(script bool, o lab.Options, began time.Time) error {
	if err := lab.Err(); err != nil {
		return err
	}
	if !script && !isTerminal(os.Stdout) {
		return errors.New("standard output is no terminal: start it in one, or use -script")
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	l, err := start(ctx, o)
	if err != nil {
		return err
	}
	defer l.Close()
	fmt.Printf("ready after %s\n", time.Since(began).Round(100*time.Millisecond))
	watch := newVisitor(l, web)
	defer watch.stop()
	if script {
		return obey(ctx, l)
	}
	return show(ctx, l, watch)
}

// web is the group with the HTTP server.
const web = "web"

func start(ctx context.Context, o lab.Options) (*lab.Lab, error) {
	group, err := lab.WebGroup(web, "10.0.0.101")
	if err != nil {
		return nil, err
	}
	fmt.Println("building batond ...")
	if o.Batond, err = lab.Build("baton/daemon"); err != nil {
		return nil, err
	}
	fmt.Printf("starting %d servers ...\n", o.Servers)
	o.Groups = []lab.Group{group, {Name: "db"}, {Name: "mail"}}
	l, err := lab.New(o)
	if err != nil {
		return nil, err
	}
	fmt.Println("waiting for the cluster ...")
	wait, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	_, err = l.Await(wait, "all three groups run", func(s *api.Status) bool {
		for _, g := range s.Groups {
			if g.State != string(cluster.GroupOnline) {
				return false
			}
		}
		return s.Quorum && len(s.Groups) == 3
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, l.Report())
		l.Close()
		return nil, err
	}
	return l, nil
}

// show runs the console until the operator quits.
func show(ctx context.Context, l *lab.Lab, watch *visitor) error {
	locale := words.FromEnv(os.Getenv)
	t := english
	if locale.Text == words.Japanese {
		t = japanese
	}
	err := console.Run(ctx, console.Options{
		Dial:  func(ctx context.Context) (console.Client, string, error) { return dial(ctx, l) },
		Text:  locale.Text,
		ASCII: !locale.UTF8,
		User:  os.Getenv("USER"),
		From:  "demo",
		Extra: actions(l, &t),
		Hint:  func() string { return watch.line(&t) },
	})
	if ctx.Err() != nil {
		err = nil // a signal is as good as q
	}
	fmt.Println(t.bye)
	return err
}

// dial finds a server that answers, one with a quorum rather than one without.
func dial(ctx context.Context, l *lab.Lab) (console.Client, string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	status, err := l.Status(ctx)
	if err != nil {
		return nil, "", err
	}
	return l.Server(status.Server).Client(), status.Server, nil
}

// obey carries out lines from standard input; the first that fails ends it.
func obey(ctx context.Context, l *lab.Lab) error {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		if in.Text() == "q" {
			return nil
		}
		text, err := l.Command(ctx, in.Text())
		if text != "" {
			fmt.Println(text)
		}
		if err != nil {
			return fmt.Errorf("%q: %w", in.Text(), err)
		}
	}
	return in.Err()
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
