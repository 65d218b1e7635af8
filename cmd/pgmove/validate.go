package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"

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
			validateFlags(), livingFlags(), ownerFlags(), dumpFlags(), sectionFlags(), []cli.Flag{formatFlag()}, locationFlags()),
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
	if c.IsSet("resume") && c.String("state") == "" {
		return stream.Fail(stream.Usage, "--resume goes on from a state: --state names its file")
	}
	contents, release, err := expected(ctx, c, to, level, rep)
	if err != nil {
		return err
	}
	defer func() { _ = release() }()
	if err := sameEngine(contents.Header.Engine, engineOf(to)); err != nil {
		return err
	}
	list, schemaOnly, err := sections(c)
	if err != nil {
		return err
	}
	sel, err := contents.Header.Source.Selection.Only(list, schemaOnly)
	if err != nil {
		return err
	}
	contents = contents.Only(sel)
	rep.setContents(contents)
	target, err := openCompared(ctx, c, to, contents.Header.Source, comparing{noSchema: rep.noSchema, ownFilters: c.IsSet("archive") || c.IsSet("digests")}, rep.observe)
	if err != nil {
		return err
	}
	defer target.Close()
	if file := c.String("state"); file != "" {
		facts := target.Facts()
		h := stateHeader{Format: 1, Target: cmp.Or(facts.SystemID, to.Name()) + " " + string(facts.Database) + " " + facts.DatabaseID}
		if c.IsSet("archive") || c.IsSet("digests") {
			h.Run = contents.Header.Run
		}
		s, err := openState(file, h, c.Bool("resume"))
		if err != nil {
			return err
		}
		defer func() { _ = s.close() }()
		rep.drill.memo = s
	}
	rep.reads("target", target)
	err = compare(ctx, level, contents, target, nil, rep)
	return cmp.Or(err, release())
}

// pick restricts contents from a file to what the flags ask for.
func pick(c *cli.Context, contents *stream.Contents, rep *Report) (*stream.Contents, error) {
	picked, err := validate.Pick(contents, c.StringSlice("schema"), c.StringSlice("table"))
	if err == nil && picked != contents {
		rep.noSchema = true
		rep.drill.unverified = []string{fmt.Sprintf("%d tables of %d, and the sequences: --schema and --table leave them out", len(contents.Tables)-len(picked.Tables), len(contents.Tables))}
	}
	return picked, err
}

// expected finds what the target is compared with. What it held for that, release lets go.
func expected(ctx context.Context, c *cli.Context, to conn, level validate.Level, rep *Report) (contents *stream.Contents, release func() error, err error) {
	release = func() error { return nil }
	n := 0
	for _, f := range []string{"archive", "digests"} {
		if c.IsSet(f) {
			n++
		}
	}
	// An exported PGMOVE_SOURCE gives way to what is asked for by a flag.
	if n > 1 || n == 1 && flagGiven(os.Args, "source") {
		return nil, release, stream.Fail(stream.Usage, "give one of --source, --archive and --digests")
	}
	switch {
	case c.IsSet("archive"):
		a, err := openArchive(ctx, c, "archive", c.String("archive"), rep.observe)
		if err != nil {
			return nil, release, err
		}
		if a.foreign != "" {
			return nil, release, (&stream.Failure{Kind: stream.Preflight, Object: c.String("archive"), Msg: "an archive of " + a.foreign + " has no digests to compare with"}).
				WithHint("compare with the source, by --source")
		}
		rep.drill.again = func(ctx context.Context) (validate.Again, error) { return inArchive(ctx, a.Reader) }
		contents, err = pick(c, a.contents, rep)
		return contents, release, err
	case c.IsSet("digests"):
		contents, err := readDigests(c.String("digests"))
		if err == nil {
			contents, err = pick(c, contents, rep)
		}
		return contents, release, err
	}
	from, err := rep.conn(c, "source")
	if err != nil {
		return nil, release, err
	}
	if err := sameEngine(engineOf(from), engineOf(to)); err != nil {
		return nil, release, err
	}
	src, err := openSource(ctx, c, from, false, nil, rep.observe)
	if err != nil {
		return nil, release, err
	}
	rep.reads("source", src)
	options := dump.Options{Jobs: c.Int("jobs"), Tool: version, Observe: rep.observe}
	if level != validate.Rows {
		defer src.Close()
		contents, err = dump.Measure(ctx, src, options)
		return contents, release, err
	}
	// Rows that differ are looked at under the same snapshot.
	if contents, err = dump.Measure(ctx, heldSnapshot{src}, options); err != nil {
		src.Close()
		return nil, release, err
	}
	rep.drill.again = underSnapshot(src)
	return contents, sync.OnceValue(func() error { return src.Release(context.WithoutCancel(ctx)) }), nil
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
