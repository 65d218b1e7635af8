package main

import (
	"context"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/pgmove/pgmove/dump"
	"github.com/pgmove/pgmove/dump/mysource"
	"github.com/pgmove/pgmove/dump/pgsource"
	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/internal/transit"
	"github.com/pgmove/pgmove/restore"
	"github.com/pgmove/pgmove/restore/mytarget"
	"github.com/pgmove/pgmove/restore/pgtarget"
	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/validate"
)

// This is the switch between engines: what a URL names decides which packages open it.

// conn is a connection string as its engine parsed it: *pgsession.Conn or *mysession.Conn.
type conn interface {
	// Name is host and database for messages, User and Database are their names; Security says how sessions are protected.
	Name() string
	User() string
	Database() string
	Security() transit.Security
}

// source is a database opened for reading.
type source interface {
	dump.Snapshot
	// Facts tells about the server and the database.
	Facts() stream.Source
	Close()
}

// target is a database opened to be restored to.
type target interface {
	restore.Target
	// CheckEmpty refuses a target that another run holds, or that holds anything.
	CheckEmpty(ctx context.Context) error
	// Left returns what an earlier process of a run left there, nil where there is no ledger; it fences that process off.
	Left(ctx context.Context) (*stream.Prior, error)
	// Loaded lets go of what was needed to load.
	Loaded()
	// Keep ends the run as Finish does, and leaves the ledger.
	Keep(ctx context.Context) error
	Close()
}

// openedSource keeps a nil pointer from becoming a source that isn't nil.
func openedSource[S source](s S, err error) (source, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

// openedTarget does so for a target.
func openedTarget[T target](t T, err error) (target, error) {
	if err != nil {
		return nil, err
	}
	return t, nil
}

// engineOf is the name that an archive's header has for the engine.
func engineOf(c conn) string {
	if _, ok := c.(*mysession.Conn); ok {
		return mysource.Engine
	}
	return "postgresql"
}

// engineName is an engine's name for people.
func engineName(engine string) string {
	switch engine {
	case mysource.Engine:
		return "MySQL or MariaDB"
	case "postgresql":
		return "PostgreSQL"
	}
	return stream.Text(engine).Display()
}

// serverName is the name of the server that a snapshot is of, with its version, for people.
func serverName(h *stream.Header) string {
	if h.Engine != mysource.Engine {
		return engineName(h.Engine) + " " + h.Source.Version
	}
	if strings.Contains(strings.ToLower(h.Source.Version), "mariadb") {
		return "MariaDB " + h.Source.Version
	}
	return "MySQL " + h.Source.Version
}

// sameEngine refuses to move from one engine to another.
func sameEngine(from, to string) error {
	if from == to {
		return nil
	}
	return stream.Fail(stream.Usage, "a database of %s cannot be moved to %s: pgmove moves between servers of one engine", engineName(from), engineName(to)).
		WithHint("give --source and --target URLs of the same kind, postgres:// or mysql://")
}

// checkFlags refuses flags that mean nothing to the engine.
func checkFlags(c *cli.Context, co conn) error {
	names, only := []string{"definer"}, "MySQL and MariaDB"
	if engineOf(co) == mysource.Engine {
		names, only = []string{"snapshot", "roles"}, "PostgreSQL"
		if err := selectable(c); err != nil {
			return err
		}
		if f := c.String("format"); f == stream.FormatBinary {
			return stream.Fail(stream.Usage, "--format binary is for PostgreSQL: rows of MySQL and MariaDB are text")
		}
	}
	for _, n := range names {
		if c.IsSet(n) {
			return stream.Fail(stream.Usage, "--%s is for %s", n, only)
		}
	}
	return nil
}

func definerFlag() cli.Flag {
	return &cli.StringFlag{Name: "definer", Value: "keep", Usage: "MySQL: whose views, triggers, routines and events are: keep (as on the source), strip (the role's that restores) or an account, `USER@HOST`"}
}

// myOptions are what the flags say of reading a MySQL database.
func myOptions(c *cli.Context, o stream.Observer) (opts mysource.Options, err error) {
	opts = mysource.Options{Jobs: c.Int("jobs"), Patience: patience, Observe: o}
	if s := c.String("split-size"); s != "" {
		if opts.SplitSize, err = byteSize("split-size", s); err != nil {
			return opts, err
		}
	}
	opts.Throttle, err = maxRate(c)
	return opts, err
}

// openMySource opens a database for reading with the flags' selection.
func openMySource(ctx context.Context, c *cli.Context, co *mysession.Conn, o stream.Observer) (*mysource.Source, error) {
	opts, err := myOptions(c, o)
	if err != nil {
		return nil, err
	}
	if opts.Selection, err = selection(c); err != nil {
		return nil, err
	}
	return mysource.Open(ctx, co, opts)
}

func openMyCompared(ctx context.Context, c *cli.Context, co *mysession.Conn, src stream.Source, o stream.Observer) (*mysource.Source, error) {
	opts, err := myOptions(c, o)
	if err != nil {
		return nil, err
	}
	opts.Uncovered, opts.Side = true, "validate"
	opts.Selection, opts.Known = src.Selection, string(src.Database) // which the target's need not be
	return mysource.Open(ctx, co, opts)
}

// definer reads --definer; --no-owner stands for strip.
func definer(c *cli.Context) (mytarget.Definer, error) {
	if c.Bool("no-owner") && !c.IsSet("definer") {
		return mytarget.ParseDefiner("strip")
	}
	return mytarget.ParseDefiner(c.String("definer"))
}

// myTargetOptions are what the flags say of restoring to a MySQL database.
func myTargetOptions(c *cli.Context, o stream.Observer) (mytarget.Options, error) {
	d, err := definer(c)
	return mytarget.Options{Definer: d, ReadBack: c.String("validate") != string(validate.None) && !c.Bool("no-schema-check"), Resume: c.Bool("resume"), Clean: c.Bool("clean"), Sessions: 2*c.Int("jobs") + 1, Patience: patience, Retry: retry, Observe: o}, err
}

func openMyTarget(ctx context.Context, c *cli.Context, co *mysession.Conn, o stream.Observer) (*mytarget.Target, error) {
	opts, err := myTargetOptions(c, o)
	if err != nil {
		return nil, err
	}
	return mytarget.Open(ctx, co, opts)
}

var (
	_ conn   = (*pgsession.Conn)(nil)
	_ conn   = (*mysession.Conn)(nil)
	_ source = (*pgsource.Source)(nil)
	_ source = (*mysource.Source)(nil)
	_ target = (*pgtarget.Target)(nil)
	_ target = (*mytarget.Target)(nil)
)
