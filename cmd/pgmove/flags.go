package main

import (
	"context"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pgmove/pgmove/dump/pgsource"
	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/restore/pgtarget"
	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/validate"
)

// patience is how long a server that can't be reached at the start is tried again.
// A variable for the tests alone.
var patience = 10 * time.Second

// retry is how a chunk or an entry is tried again that an outage stopped, and standStill the StandStill of connections. Variables
// for the tests alone, which have no minutes.
var (
	retry      stream.Retry
	standStill time.Duration
)

// stageFrom is restore.Options.StageFrom for a target. A variable for the tests alone, whose tables are small.
var stageFrom = func(conn) int64 { return 0 }

func sourceFlag() cli.Flag {
	return &cli.StringFlag{Name: "source", EnvVars: []string{"PGMOVE_SOURCE"}, Usage: "source `URL`: postgres://… or key=value pairs, as libpq takes them; mysql://… or mariadb://…"}
}

func targetFlag() cli.Flag {
	return &cli.StringFlag{Name: "target", EnvVars: []string{"PGMOVE_TARGET"}, Usage: "target `URL`: an empty database"}
}

func jobsFlag() cli.Flag {
	return &cli.IntFlag{Name: "jobs", Aliases: []string{"j"}, Value: min(max(runtime.NumCPU(), 2), 8), Usage: "how many chunks to work on at a time, on each side"}
}

func ownerFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "no-owner", Usage: "leave objects with the role that restores"},
		&cli.BoolFlag{Name: "no-acl", Usage: "leave privileges out"},
	}
}

func toolFlag() cli.Flag {
	return &cli.StringFlag{Name: "pg-bin", EnvVars: []string{"PGMOVE_PG_BIN"}, Usage: "take pg_dump from `DIR` (or several, as PATH lists them) instead of searching the usual places"}
}

func validateFlags() []cli.Flag {
	return append([]cli.Flag{
		&cli.StringFlag{Name: "validate", Value: string(validate.Digest), Usage: "none, count, digest, or rows: digest, and on a mismatch the rows that differ"},
		&cli.BoolFlag{Name: "no-schema-check", Usage: "do not compare the schemas (which needs a pg_dump as new as the target)"},
		rateFlag(),
	}, drillFlags()...)
}

func dumpFlags() []cli.Flag {
	return append(patternFlags(),
		&cli.StringFlag{Name: "split-size", Value: "256MiB", Usage: "read tables larger than `BYTES` in several chunks of about that size; in a direct run without this flag a chunk may be as large as an even share of all rows"},
	)
}

func compressFlag() cli.Flag {
	return &cli.StringFlag{Name: "compress", Value: string(stream.Zstd), Usage: "compression of an archive: zstd (pg_restore 16 and newer reads it), gzip or none"}
}

func formatFlag() cli.Flag {
	return &cli.StringFlag{Name: "format", Value: "auto", Usage: "form of the rows: text, binary (where a table's types allow it) or auto: text in an archive, which pg_restore can then print as a script, else binary"}
}

// rowFormat resolves --format; kept says that the rows stay in an archive.
func rowFormat(c *cli.Context, kept bool) (string, error) {
	switch f := c.String("format"); f {
	case stream.FormatText, stream.FormatBinary:
		return f, nil
	case "auto", "":
		if kept {
			return stream.FormatText, nil
		}
		return stream.FormatBinary, nil
	default:
		return "", stream.Fail(stream.Usage, "--format %q: text, binary or auto is needed", f)
	}
}

func restoreFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "on-error", Value: "stop", Usage: "stop at the first entry that fails, or continue and exit 1"},
		definerFlag(),
		&cli.BoolFlag{Name: "no-analyze", Usage: "leave the planner's statistics to autovacuum, or to a later vacuumdb --analyze-in-stages: until then queries may be slow"},
	}
}

func rolesFlag() cli.Flag {
	return &cli.StringFlag{Name: "roles", Value: "none", Usage: "none, or missing: carry the roles that the database refers to, without passwords, and create those that the target lacks"}
}

// rolesMode reports whether --roles carries them.
func rolesMode(c *cli.Context) (bool, error) {
	switch v := c.String("roles"); v {
	case "none", "":
		return false, nil
	case "missing":
		return true, nil
	default:
		return false, stream.Fail(stream.Usage, "--roles %q: none or missing is needed", v)
	}
}

func resumeFlag() cli.Flag {
	return &cli.BoolFlag{Name: "resume", Usage: "go on where an earlier process of this run stopped; where nothing was begun, begin; where all is done, verify"}
}

func ledgerFlag() cli.Flag {
	return &cli.BoolFlag{Name: "keep-ledger", Usage: "leave the ledger (schema pgmove) on the target after success"}
}

func snapshotFlag() cli.Flag {
	return &cli.StringFlag{Name: "snapshot", Usage: "read under the snapshot `ID` that pgmove snapshot --hold holds"}
}

func join(lists ...[]cli.Flag) []cli.Flag {
	var all []cli.Flag
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// connFlag reads a connection string. Only --source and its variable name the
// source: the PG* variables fill in what a string leaves open, but never replace it.
func connFlag(c *cli.Context, name string) (conn, error) {
	if !given(c, name) {
		return nil, stream.Fail(stream.Usage, "--%s is missing", name).
			WithHint("give --%s postgres://user@host/database, or mysql://…, or set PGMOVE_%s", name, strings.ToUpper(name))
	}
	s, err := connString(c.Context, c, name)
	if err != nil {
		return nil, err
	}
	co, err := parseConn(s)
	if err != nil {
		return nil, err
	}
	if err := authenticate(c, name, co); err != nil {
		return nil, err
	}
	return co, checkFlags(c, co)
}

// parseConn reads a connection string of either engine.
func parseConn(s string) (conn, error) {
	if mysession.IsURL(s) {
		my, err := mysession.Parse(s)
		if err != nil {
			return nil, err
		}
		my.StandStill = standStill
		return my, nil
	}
	pg, err := pgsession.Parse(s)
	if err != nil {
		return nil, err
	}
	pg.StandStill = standStill
	return pg, nil
}

// noArgs refuses arguments that belong to no flag.
func noArgs(c *cli.Context) error {
	if c.Args().Present() {
		return stream.Fail(stream.Usage, "unexpected argument %q", c.Args().First()).WithHint("see pgmove %s --help", c.Command.Name)
	}
	if err := checkDrilling(c); err != nil {
		return err
	}
	if c.IsSet("jobs") && (c.Int("jobs") < 1 || c.Int("jobs") > 256) {
		return stream.Fail(stream.Usage, "--jobs %d: a number from 1 to 256 is needed", c.Int("jobs"))
	}
	return nil
}

// byteSize reads 4096, 64KiB, 256MB, 1GiB.
func byteSize(name, s string) (int64, error) {
	units := []struct {
		suffix string
		factor int64
	}{{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"tib", 1 << 40}, {"kb", 1000}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12},
		{"k", 1 << 10}, {"m", 1 << 20}, {"g", 1 << 30}, {"t", 1 << 40}, {"b", 1}, {"", 1}}
	low := strings.ToLower(strings.TrimSpace(s))
	for _, u := range units {
		if !strings.HasSuffix(low, u.suffix) {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(low, u.suffix)), 10, 64)
		if err != nil || n <= 0 || n > (1<<62)/u.factor {
			break
		}
		return n * u.factor, nil
	}
	return 0, stream.Fail(stream.Usage, "--%s %q is not a size", name, s).WithHint("write 268435456, 256MiB or 1GiB")
}

// openSource opens a database for reading with the flags' settings; kept says that the rows stay
// in an archive. Where prior was read under a snapshot that was held, and still is, that is read again.
func openSource(ctx context.Context, c *cli.Context, co conn, kept bool, prior *stream.Prior, o stream.Observer) (source, error) {
	if my, ok := co.(*mysession.Conn); ok {
		return openedSource(openMySource(ctx, c, my, o))
	}
	format, err := rowFormat(c, kept)
	if err != nil {
		return nil, err
	}
	sel, err := selection(c)
	if err != nil {
		return nil, err
	}
	opts := pgsource.Options{Jobs: c.Int("jobs"), BinDir: c.String("pg-bin"), NoOwner: c.Bool("no-owner"), NoACL: c.Bool("no-acl"),
		Selection: sel, Format: format, NoIndex: !kept, Patience: patience, Observe: o}
	if opts.Roles, err = rolesMode(c); err != nil {
		return nil, err
	}
	if opts.Snapshot = c.String("snapshot"); c.IsSet("snapshot") {
		if err := pgsource.CheckSnapshot(opts.Snapshot); err != nil {
			return nil, err
		}
	} else if prior != nil && prior.Header.Source.Held && pgsource.CheckSnapshot(prior.Header.Source.Snapshot) == nil {
		opts.Snapshot, opts.OrNew = prior.Header.Source.Snapshot, true
	}
	if !kept && !c.IsSet("split-size") {
		opts.Share = c.Int("jobs")
	}
	if c.String("split-size") != "" {
		n, err := byteSize("split-size", c.String("split-size"))
		if err != nil {
			return nil, err
		}
		opts.SplitSize = n
	}
	if opts.Throttle, err = maxRate(c); err != nil {
		return nil, err
	}
	return openedSource(pgsource.Open(ctx, co.(*pgsession.Conn), opts))
}

// comparing says how a target is read: without its schema, and not by conditions from a file.
type comparing struct{ noSchema, ownFilters bool }

// openCompared opens a target for reading, the way the contents were read.
func openCompared(ctx context.Context, c *cli.Context, co conn, src stream.Source, how comparing, o stream.Observer) (s source, err error) {
	if my, ok := co.(*mysession.Conn); ok {
		return openedSource(openMyCompared(ctx, c, my, src, o))
	}
	opts := pgsource.Options{Jobs: c.Int("jobs"), BinDir: c.String("pg-bin"), Encoding: src.Encoding,
		NoSchema: how.noSchema || !src.Selection.Has(stream.PreData) && !src.Selection.Has(stream.PostData), NoIndex: true, OwnFilters: how.ownFilters, Selection: src.Selection, Patience: patience, Observe: o, Side: "validate"}
	if size := c.String("split-size"); size != "" {
		n, err := byteSize("split-size", size)
		if err != nil {
			return nil, err
		}
		opts.SplitSize = n
	}
	if opts.Throttle, err = maxRate(c); err != nil {
		return nil, err
	}
	s, err = openedSource(pgsource.Open(ctx, co.(*pgsession.Conn), opts))
	if err != nil && stream.KindOf(err) == stream.Preflight && strings.Contains(err.Error(), "pg_dump") {
		return nil, noTool(err)
	}
	return s, err
}

// noTool is the failure where no pg_dump reads the target.
func noTool(err error) error {
	return stream.Fail(stream.Preflight, "the target's schema could not be compared").Because(err).
		WithHint("install that version, or give --no-schema-check: the report then says that the schema is unverified")
}

func openTarget(ctx context.Context, c *cli.Context, co conn, o stream.Observer) (target, error) {
	if my, ok := co.(*mysession.Conn); ok {
		return openedTarget(openMyTarget(ctx, c, my, o))
	}
	return openedTarget(pgtarget.Open(ctx, co.(*pgsession.Conn), pgtarget.Options{NoOwner: c.Bool("no-owner"), NoACL: c.Bool("no-acl"), Resume: c.Bool("resume"),
		Clean: c.Bool("clean"), DisableTriggers: c.Bool("disable-triggers"),
		Sessions: 2*c.Int("jobs") + 1, Patience: patience, Retry: retry, Observe: o}))
}

func onError(c *cli.Context) (bool, error) {
	switch v := c.String("on-error"); v {
	case "stop", "":
		return false, nil
	case "continue":
		return true, nil
	default:
		return false, stream.Fail(stream.Usage, "--on-error %q: stop or continue is needed", v)
	}
}

func compression(c *cli.Context) (stream.Compression, error) {
	z := stream.Compression(c.String("compress"))
	if err := z.Valid(); err != nil {
		return "", stream.Fail(stream.Usage, "--compress: %s", err)
	}
	return z, nil
}
