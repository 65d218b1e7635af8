package main

import (
	"context"
	"net/url"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pgmove/pgmove/dump/pgsource"
	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/restore/pgtarget"
	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/filestore"
	"github.com/pgmove/pgmove/stream/s3store"
	"github.com/pgmove/pgmove/validate"
)

// patience is how long a server that can't be reached at the start is tried again.
// A variable for the tests alone.
var patience = 10 * time.Second

func sourceFlag() cli.Flag {
	return &cli.StringFlag{Name: "source", EnvVars: []string{"PGMOVE_SOURCE"}, Usage: "source `URL`: postgres://… or key=value pairs, as libpq takes them"}
}

func targetFlag() cli.Flag {
	return &cli.StringFlag{Name: "target", EnvVars: []string{"PGMOVE_TARGET"}, Usage: "target `URL`: an empty database"}
}

func jobsFlag() cli.Flag {
	return &cli.IntFlag{Name: "jobs", Aliases: []string{"j"}, Value: min(max(runtime.NumCPU(), 2), 8), Usage: "how many chunks to work on at a time, on each side"}
}

func reportFlag() cli.Flag {
	return &cli.StringFlag{Name: "report", Usage: "write the report as JSON to `FILE`; it holds the digests for a later validate --digests"}
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
	return []cli.Flag{
		&cli.StringFlag{Name: "validate", Value: string(validate.Digest), Usage: "none, count or digest"},
		&cli.BoolFlag{Name: "no-schema-check", Usage: "do not compare the schemas (which needs a pg_dump as new as the target)"},
	}
}

func dumpFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "schema", Aliases: []string{"n"}, Usage: "only schemas that match `PATTERN`, as pg_dump --schema"},
		&cli.StringSliceFlag{Name: "table", Aliases: []string{"t"}, Usage: "only tables that match `PATTERN`, as pg_dump --table"},
		&cli.StringFlag{Name: "split-size", Value: "256MiB", Usage: "read tables larger than `BYTES` in several chunks of about that size"},
	}
}

func compressFlag() cli.Flag {
	return &cli.StringFlag{Name: "compress", Value: string(stream.Zstd), Usage: "compression of an archive: zstd (pg_restore 16 and newer reads it), gzip or none"}
}

func restoreFlags() []cli.Flag {
	return []cli.Flag{&cli.StringFlag{Name: "on-error", Value: "stop", Usage: "stop at the first entry that fails, or continue and exit 1"}}
}

func s3Flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "s3-endpoint", EnvVars: []string{"PGMOVE_S3_ENDPOINT"}, Usage: "`URL` of an S3 server other than AWS"},
		&cli.StringFlag{Name: "s3-region", Usage: "the bucket's region, where the environment names none"},
		&cli.BoolFlag{Name: "s3-path-style", EnvVars: []string{"PGMOVE_S3_PATH_STYLE"}, Usage: "put the bucket into the path, not into the host name"},
	}
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
func connFlag(c *cli.Context, name string) (*pgsession.Conn, error) {
	s := c.String(name)
	if strings.TrimSpace(s) == "" {
		return nil, stream.Fail(stream.Usage, "--%s is missing", name).
			WithHint("give --%s postgres://user@host/database or set PGMOVE_%s", name, strings.ToUpper(name))
	}
	if strings.HasPrefix(s, "mysql://") || strings.HasPrefix(s, "mariadb://") {
		return nil, stream.Fail(stream.Usage, "--%s: this version moves PostgreSQL only", name)
	}
	return pgsession.Parse(s)
}

// noArgs refuses arguments that belong to no flag.
func noArgs(c *cli.Context) error {
	if c.Args().Present() {
		return stream.Fail(stream.Usage, "unexpected argument %q", c.Args().First()).WithHint("see pgmove %s --help", c.Command.Name)
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

// location is where an archive lies.
type location struct {
	text string
	dir  string
	s3   bool
}

func parseLocation(name, s string) (location, error) {
	bad := func(why string) (location, error) {
		return location{}, stream.Fail(stream.Usage, "--%s %s: %s", name, stream.Text(s).Display(), why).
			WithHint("write file:///folder, a folder's path, or s3://bucket/prefix")
	}
	switch {
	case s == "":
		return bad("a location is missing")
	case strings.HasPrefix(s, "s3://"):
		return location{text: s, s3: true}, nil
	case strings.HasPrefix(s, "file://"):
		u, err := url.Parse(s)
		if err != nil || u.Host != "" || !strings.HasPrefix(u.Path, "/") {
			return bad("a file:// location has three slashes and an absolute path")
		}
		return location{text: s, dir: filepath.Clean(u.Path)}, nil
	case strings.Contains(s, "://"):
		return bad("no such kind of location")
	}
	abs, err := filepath.Abs(s)
	if err != nil {
		return bad(err.Error())
	}
	return location{text: s, dir: abs}, nil
}

// open opens the store of a location; create makes a folder that isn't there.
func (l location) open(ctx context.Context, c *cli.Context, create bool) (stream.Store, error) {
	if !l.s3 {
		return filestore.Open(l.dir, create)
	}
	bucket, prefix, err := s3store.ParseLocation(l.text)
	if err != nil {
		return nil, err
	}
	return s3store.Open(ctx, s3store.Options{Bucket: bucket, Prefix: prefix, Endpoint: c.String("s3-endpoint"),
		Region: c.String("s3-region"), PathStyle: c.Bool("s3-path-style") || c.String("s3-endpoint") != "",
		Uploads: c.Int("jobs")})
}

// openSource opens a database for reading with the flags' settings.
func openSource(ctx context.Context, c *cli.Context, conn *pgsession.Conn, o stream.Observer) (*pgsource.Source, error) {
	opts := pgsource.Options{Jobs: c.Int("jobs"), BinDir: c.String("pg-bin"), NoOwner: c.Bool("no-owner"), NoACL: c.Bool("no-acl"),
		Selection: stream.Selection{Schemas: c.StringSlice("schema"), Tables: c.StringSlice("table")}, Patience: patience, Observe: o}
	if c.String("split-size") != "" {
		n, err := byteSize("split-size", c.String("split-size"))
		if err != nil {
			return nil, err
		}
		opts.SplitSize = n
	}
	return pgsource.Open(ctx, conn, opts)
}

// openCompared opens a target for reading, the way the contents were read.
func openCompared(ctx context.Context, c *cli.Context, conn *pgsession.Conn, src stream.Source, o stream.Observer) (*pgsource.Source, error) {
	s, err := pgsource.Open(ctx, conn, pgsource.Options{Jobs: c.Int("jobs"), BinDir: c.String("pg-bin"), Encoding: src.Encoding,
		NoSchema:  c.Bool("no-schema-check"),
		Selection: src.Selection, Patience: patience, Observe: o, Side: "validate"})
	if err != nil && stream.KindOf(err) == stream.Preflight && strings.Contains(err.Error(), "pg_dump") {
		return nil, stream.Fail(stream.Preflight, "the target's schema could not be compared").Because(err).
			WithHint("install that version, or give --no-schema-check: the report then says that the schema is unverified")
	}
	return s, err
}

func openTarget(ctx context.Context, c *cli.Context, conn *pgsession.Conn, o stream.Observer) (*pgtarget.Target, error) {
	return pgtarget.Open(ctx, conn, pgtarget.Options{NoOwner: c.Bool("no-owner"), NoACL: c.Bool("no-acl"),
		Sessions: 2*c.Int("jobs") + 1, Patience: patience, Observe: o})
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
