// Command bench measures pgmove against other tools and against a floor; `make bench`
// runs it, docs/benchmarks.md says how to read it.
//
// It starts private servers with data of its own, lets each contestant move them in
// turn, compares every target with the source by means of its own, and prints what it
// measured. It imports testbed, the floor and pgx's connection, and nothing else of pgmove: pgmove
// is run as a user would run it. It never touches a server or a folder that isn't
// its own, and leaves nothing behind.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/pgmove/pgmove/bench/floor"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGPIPE)
	defer stop()
	// The floor is a program of its own, so that it is measured as the others are.
	if len(os.Args) > 1 && os.Args[1] == floorCommand {
		if err := runFloor(ctx, os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "floor:", err)
			os.Exit(1)
		}
		return
	}
	o, err := parseFlags(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(3)
	}
	b := &bench{options: o, out: os.Stdout, log: os.Stderr}
	if o.engine == "mysql" {
		err = runMaria(ctx, o)
	} else {
		err = b.run(ctx)
	}
	interrupted := ctx.Err() != nil
	if cerr := b.close(); cerr != nil {
		err = errors.Join(err, fmt.Errorf("clean up: %w", cerr))
	}
	switch {
	case interrupted:
		fmt.Fprintln(os.Stderr, "bench: interrupted; all servers are stopped, all folders removed")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	pgmove   []program
	engine   string
	scale    float64
	tables   []int
	toc      int
	seed     int64
	rounds   int
	jobs     int
	major    int
	fsync    bool
	walLevel string
	only     *regexp.Regexp
	pgcopydb string
	split    bool
	md       string
	verbose  bool
	args     []string
}

// program is a pgmove binary with arguments of its own.
type program struct {
	label string
	argv  []string
}

func parseFlags(args []string) (*options, error) {
	o := &options{args: args}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.Func("pgmove", "a pgmove `program`, with arguments for its run command where it needs some; several are compared (default: builds this tree's)", func(s string) error {
		argv := strings.Fields(s)
		if len(argv) == 0 {
			return errors.New("a program is needed")
		}
		o.pgmove = append(o.pgmove, program{argv: argv})
		return nil
	})
	fs.StringVar(&o.engine, "engine", "postgresql", "postgresql or mysql, which is tried with MariaDB, the mix alone")
	fs.Float64Var(&o.scale, "scale", 1, "`size` of the mix; 1 is about 1.2 GB without indexes, 0 leaves it out")
	tables := fs.String("tables", "2000", "numbers of small tables, each a database of its own: say 2000,10000; empty leaves them out")
	fs.IntVar(&o.toc, "toc", 0, "a database of so many entries of pg_dump without rows; 0 leaves it out")
	fs.Int64Var(&o.seed, "seed", 1, "what the data are made from")
	fs.IntVar(&o.rounds, "rounds", 3, "how often each contestant runs")
	fs.IntVar(&o.jobs, "jobs", 2, "jobs of all contestants that take a number")
	fs.IntVar(&o.major, "major", 0, "major version of both servers (default: the distribution's)")
	fs.BoolVar(&o.fsync, "fsync", true, "fsync of both servers")
	fs.StringVar(&o.walLevel, "wal-level", "replica", "wal_level of both servers: replica or minimal")
	only := fs.String("only", "", "a regular `expression` that the contestants' names match")
	fs.StringVar(&o.pgcopydb, "pgcopydb", "pgcopydb", "the pgcopydb program; left out where there is none")
	fs.BoolVar(&o.split, "floor-split", false, "a second floor, which loads the largest table in two halves, without FREEZE")
	fs.StringVar(&o.md, "md", "", "put the figures into `FILE` as well, between its marks")
	fs.BoolVar(&o.verbose, "v", false, "print the commands")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	for _, s := range strings.FieldsFunc(*tables, func(r rune) bool { return r == ',' }) {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("-tables %s: numbers are needed", *tables)
		}
		if n > 0 {
			o.tables = append(o.tables, n)
		}
	}
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		return nil, err
	}
	switch {
	case o.rounds < 1 || o.jobs < 1 || o.scale < 0 || o.toc < 0:
		return nil, errors.New("-rounds and -jobs are 1 or more, -scale and -toc not negative")
	case o.engine != "postgresql" && o.engine != "mysql":
		return nil, fmt.Errorf("-engine %s: postgresql or mysql is needed", o.engine)
	case o.walLevel != "replica" && o.walLevel != "minimal":
		return nil, fmt.Errorf("-wal-level %s: replica or minimal is needed", o.walLevel)
	case o.scale == 0 && len(o.tables) == 0 && o.toc == 0:
		return nil, errors.New("nothing is left to measure")
	}
	return o, nil
}

const floorCommand = "floor"

// runFloor is the floor's process: bench floor PLAN JOBS SPLIT, the databases in the environment.
func runFloor(ctx context.Context, args []string) error {
	if len(args) != 3 {
		return errors.New("usage: floor PLAN JOBS SPLIT")
	}
	b, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	var p floor.Plan
	if err := json.Unmarshal(b, &p); err != nil {
		return err
	}
	jobs, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	return floor.Run(ctx, os.Getenv("PGMOVE_SOURCE"), os.Getenv("PGMOVE_TARGET"), &p,
		floor.Options{Jobs: jobs, Split: args[2] == "true"})
}

// ownProgram builds this tree's pgmove as `make build` does.
func ownProgram(ctx context.Context, path string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "github.com/pgmove/pgmove/cmd/pgmove")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build pgmove: %w\n%s", err, out)
	}
	return nil
}
