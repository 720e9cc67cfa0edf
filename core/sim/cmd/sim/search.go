package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"

	"baton/core/sim"
)

// A search runs one process for each core: raft draws its jitter from crypto/rand,
// which is one for a process. Each worker plays every n-th seed and writes a line for
// each run.

// word is such a line.
type word struct {
	Stats sim.Stats
	Text  string // of a violation
}

func report(s sim.Stats, text string) {
	b, err := json.Marshal(word{s, text})
	if err != nil {
		panic(err)
	}
	os.Stdout.Write(append(b, '\n'))
}

// everySo is how often a search says how far it is.
const everySo = 10 * time.Second

func (c *command) search() (failures int) {
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Printf("playing seeds from %d for %v, %d processes\n", c.seed, c.wall, c.jobs)
	words := make(chan word)
	var wg sync.WaitGroup
	for k := range c.jobs {
		// The last of a flag counts: they must agree on who plays what.
		cmd := exec.Command(self, append(os.Args[1:], fmt.Sprintf("-seed=%d", c.seed), fmt.Sprintf("-jobs=%d", c.jobs), fmt.Sprintf("-worker=%d", k+1))...)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		wg.Go(func() {
			in := bufio.NewScanner(out)
			in.Buffer(nil, 16<<20)
			for in.Scan() {
				var w word
				if json.Unmarshal(in.Bytes(), &w) != nil {
					w = word{Text: fmt.Sprintf("worker %d: %s\n", k+1, in.Text())}
				}
				words <- w
			}
			// Its violations are told; what else ends it is a bug of this command.
			if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() != 1 {
				words <- word{Text: fmt.Sprintf("worker %d: %v\n", k+1, err)}
			}
		})
	}
	go func() {
		wg.Wait()
		close(words)
	}()
	begin, said := time.Now(), time.Now()
	var total sim.Stats
	for w := range words {
		if w.Stats.Virtual > 0 {
			total.Add(w.Stats)
		}
		if w.Text != "" {
			failures++
			fmt.Print(w.Text)
		}
		if time.Since(said) >= everySo {
			said = time.Now()
			fmt.Printf("%4.0f s: %d runs, %.1f virtual hours, %d faults, %d elections, %d foundings, %d failovers, %d violations\n",
				time.Since(begin).Seconds(), total.Runs, total.Virtual.Hours(), total.Faults, total.Elections, total.Foundings, total.Failovers, failures)
		}
	}
	wall := time.Since(begin)
	fmt.Printf("%s%d violations; %.0f s, %.0f virtual cluster hours\n", &total, failures, wall.Seconds(), total.Virtual.Hours())
	return failures
}
