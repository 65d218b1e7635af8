package main

import (
	"context"
	"encoding/json"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/pgmove/pgmove/dump"
	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/validate"
)

func newValidateCommand() *cli.Command {
	return &cli.Command{
		Name:  "validate",
		Usage: "compare a target with a source, with an archive, or with a report's digests",
		Flags: join([]cli.Flag{sourceFlag(), &cli.StringFlag{Name: "archive", Usage: "compare with the archive at `LOCATION`"},
			&cli.StringFlag{Name: "digests", Usage: "compare with the digests in a report's `FILE`"}, targetFlag(), jobsFlag(), reportFlag(), toolFlag()},
			validateFlags(), ownerFlags(), dumpFlags(), []cli.Flag{formatFlag()}, locationFlags()),
		Action: func(c *cli.Context) error { return session(c, runValidate) },
	}
}

func runValidate(ctx context.Context, c *cli.Context, rep *Report) error {
	to, err := rep.conn(c, "target")
	if err != nil {
		return err
	}
	level, err := validate.ParseLevel(c.String("validate"))
	if err != nil {
		return err
	}
	if level == validate.None {
		return stream.Fail(stream.Usage, "validate --validate none compares nothing")
	}
	contents, err := expected(ctx, c, to, rep)
	if err != nil {
		return err
	}
	if err := sameEngine(contents.Header.Engine, engineOf(to)); err != nil {
		return err
	}
	rep.setContents(contents)
	target, err := openCompared(ctx, c, to, contents.Header.Source, comparing{noSchema: rep.noSchema, ownFilters: c.IsSet("archive") || c.IsSet("digests")}, rep.observe)
	if err != nil {
		return err
	}
	defer target.Close()
	rep.reads("target", target)
	return compare(ctx, level, contents, target, nil, rep)
}

// expected finds what the target is compared with.
func expected(ctx context.Context, c *cli.Context, to conn, rep *Report) (*stream.Contents, error) {
	n := 0
	for _, f := range []string{"archive", "digests"} {
		if c.IsSet(f) {
			n++
		}
	}
	// An exported PGMOVE_SOURCE gives way to what is asked for by a flag.
	if n > 1 || n == 1 && flagGiven(os.Args, "source") {
		return nil, stream.Fail(stream.Usage, "give one of --source, --archive and --digests")
	}
	switch {
	case c.IsSet("archive"):
		a, err := openArchive(ctx, c, "archive", c.String("archive"), rep.observe)
		if err != nil {
			return nil, err
		}
		if a.foreign != "" {
			return nil, (&stream.Failure{Kind: stream.Preflight, Object: c.String("archive"), Msg: "an archive of " + a.foreign + " has no digests to compare with"}).
				WithHint("compare with the source, by --source")
		}
		return a.contents, nil
	case c.IsSet("digests"):
		return readDigests(c.String("digests"))
	}
	from, err := rep.conn(c, "source")
	if err != nil {
		return nil, err
	}
	if err := sameEngine(engineOf(from), engineOf(to)); err != nil {
		return nil, err
	}
	src, err := openSource(ctx, c, from, false, nil, rep.observe)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	rep.reads("source", src)
	return dump.Measure(ctx, src, dump.Options{Jobs: c.Int("jobs"), Tool: version, Observe: rep.observe})
}

func flagGiven(args []string, name string) bool {
	for _, a := range args {
		if a == "--"+name || a == "-"+name || len(a) > len(name)+2 && a[:len(name)+3] == "--"+name+"=" {
			return true
		}
	}
	return false
}

func readDigests(file string) (*stream.Contents, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, stream.Fail(stream.Usage, "--digests: %s", err)
	}
	var r struct {
		Contents *stream.Contents `json:"contents"`
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, (&stream.Failure{Kind: stream.Integrity, Object: file, Msg: "not a report of pgmove", Err: err})
	}
	if r.Contents == nil {
		return nil, (&stream.Failure{Kind: stream.Integrity, Object: file, Msg: "the report holds no digests"}).
			WithHint("take the report of a run or a dump that ended well")
	}
	if err := r.Contents.Check(); err != nil {
		return nil, (&stream.Failure{Kind: stream.Integrity, Object: file, Msg: "its digests are not what pgmove writes", Err: err})
	}
	return r.Contents, nil
}
