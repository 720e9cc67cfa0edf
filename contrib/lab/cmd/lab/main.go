// The command lab makes a cluster of virtual servers and does with it what it reads
// from standard input, line by line; help lists what it knows. It is for trying
// things out and for scripts; tests use the package.
//
//	go run ./contrib/lab/cmd/lab -servers 3
//	lab> cut server1
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"baton/contrib/lab"
)

func main() {
	lab.Enter()
	os.Exit(run())
}

func run() int {
	var o lab.Options
	flag.IntVar(&o.Servers, "servers", 3, "how many servers, 1 to 16")
	flag.IntVar(&o.Interconnects, "interconnects", 1, "heartbeat networks beside the public LAN, 1 or 2")
	flag.DurationVar(&o.Interval, "interval", 100*time.Millisecond, "heartbeat.interval")
	flag.DurationVar(&o.Timeout, "timeout", time.Second, "heartbeat.timeout")
	flag.BoolVar(&o.Bare, "bare", false, "servers without batond")
	flag.BoolVar(&o.OnDisk, "disk", false, "the servers' disks on a real file system")
	flag.StringVar(&o.Batond, "batond", "", "path of batond; built if not given")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "lab: takes no arguments; commands are read from standard input, try help")
		return 2
	}
	// An interrupt ends the program in order; the world's end would do as well.
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	l, err := lab.New(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		return 1
	}
	defer l.Close()
	fmt.Printf("%d servers are on; configuration and logs are in %s. help lists what to do, the end of input ends all.\n", len(l.Servers), l.Dir())
	return obey(ctx, l)
}

// obey carries out lines until the input or ctx ends; 1 if one of them failed.
func obey(ctx context.Context, l *lab.Lab) int {
	lines := make(chan string)
	go func() {
		defer close(lines)
		in := bufio.NewScanner(os.Stdin)
		for in.Scan() {
			lines <- in.Text()
		}
	}()
	prompt := isTerminal(os.Stdin)
	code := 0
	for {
		if prompt {
			fmt.Print("lab> ")
		}
		select {
		case <-ctx.Done():
			return 1
		case line, ok := <-lines:
			if !ok {
				return code
			}
			if line == "quit" || line == "exit" || line == "q" {
				return code
			}
			text, err := l.Command(ctx, line)
			if text != "" {
				fmt.Println(text)
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, "lab:", err)
				code = 1
			}
		}
	}
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
