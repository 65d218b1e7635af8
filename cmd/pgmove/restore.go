package main

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pgmove/pgmove/restore"
	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/validate"
)

func newRestoreCommand() *cli.Command {
	return &cli.Command{
		Name:  "restore",
		Usage: "restore an archive to an empty database, and validate it",
		Flags: join([]cli.Flag{&cli.StringFlag{Name: "from", Usage: "`LOCATION` of the archive: pgmove's own, or a directory that stock pg_dump or mydumper wrote"}, targetFlag(),
			&cli.BoolFlag{Name: "wait", Usage: "wait for a dump that goes on elsewhere or is yet to begin, and restore while it writes"},
			&cli.DurationFlag{Name: "wait-timeout", Value: time.Hour, Usage: "how long to wait for a dump to begin; 0 for ever"},
			&cli.DurationFlag{Name: "wait-silence", Value: time.Minute, Usage: "how long a dump may give no sign of life; it gives one every ten seconds"},
			resumeFlag(), rolesFlag(), ledgerFlag(), jobsFlag(), reportFlag(), toolFlag()}, validateFlags(), ownerFlags(), sectionFlags(), intoFlags(), dryFlags(), restoreFlags(), locationFlags()),
		Action: func(c *cli.Context) error { return session(c, runRestore) },
	}
}

func runRestore(ctx context.Context, c *cli.Context, rep *Report) error {
	to, err := newDestination(c, rep)
	if err != nil {
		return err
	}
	for _, f := range []string{"wait-timeout", "wait-silence"} {
		if c.IsSet(f) && (!c.Bool("wait") || c.Duration(f) < 0) {
			return stream.Fail(stream.Usage, "--%s goes with --wait, and is not negative", f)
		}
	}
	defer to.close()
	var a *archive
	if c.Bool("wait") {
		// The wait may be long: what is wrong with the target is told before it.
		if err := to.connect(ctx, c, rep.observe); err != nil {
			return err
		}
		a, err = awaitArchive(ctx, c, rep.observe)
	} else {
		a, err = openArchive(ctx, c, "from", c.String("from"), rep.observe)
	}
	if err != nil {
		return err
	}
	h, err := a.Header(ctx)
	if err != nil {
		return err
	}
	if engine := engineOf(to.conn); h.Engine != engine {
		return (&stream.Failure{Kind: stream.Preflight, Object: c.String("from"), Msg: fmt.Sprintf("an archive of %s cannot be restored to %s", engineName(h.Engine), engineName(engine))}).
			WithHint("give a --target of the engine that the archive is of")
	}
	rep.Run = h.Run
	if err := to.narrow(c, h); err != nil {
		return err
	}
	if err := to.holds(ctx, a); err != nil {
		return err
	}
	if a.foreign != "" {
		to.countOnly(a.foreign, rep)
	}
	if c.Bool("dry-run") {
		return planRestore(ctx, c, a, h, to, rep)
	}
	src := h.Source
	src.Selection = to.selection
	if err := to.open(ctx, c, src, rep.observe); err != nil {
		return err
	}
	if to.occupied != nil {
		if a.foreign != "" || a.Manifest() == nil {
			return to.occupied // there is nothing to compare with
		}
		return to.isThere(ctx, a.Manifest().Contents.Only(to.selection), rep)
	}
	if err := restore.Run(ctx, a.Reader, to.target, to.restoreOptions(c, rep.observe)); err != nil {
		return err
	}
	if m := a.Manifest(); m != nil {
		a.contents = &m.Contents
	}
	if a.foreign != "" {
		a.contents.Count(a.Taken())
		warnCounts(a.contents.Only(to.selection), rep)
	}
	rep.drill.again = func(ctx context.Context) (validate.Again, error) { return inArchive(ctx, a.Reader) }
	return to.finish(ctx, a.contents.Only(to.selection), rep)
}

// awaitArchive opens the archive of a dump that may be going on, or not have begun.
func awaitArchive(ctx context.Context, c *cli.Context, o stream.Observer) (*archive, error) {
	loc, err := parseLocation("from", c.String("from"))
	if err != nil {
		return nil, err
	}
	mac, err := macKey(c)
	if err != nil {
		return nil, err
	}
	store, err := loc.openArchived(ctx, c, true, o)
	if err != nil {
		return nil, err
	}
	options := stream.WaitOptions{MAC: mac, Begin: c.Duration("wait-timeout"), Silence: c.Duration("wait-silence"), Observe: o}
	if c.String("identity") == "" {
		// What begins while we wait may be encrypted.
		options.Refuse = func(ctx context.Context) error { return loc.checkPlain(ctx, store) }
	}
	r, err := stream.Wait(ctx, store, loc.text, options)
	if err != nil {
		return nil, err
	}
	return &archive{Reader: r}, nil
}

// countOnly lowers the validation to what an archive without digests allows, and says so.
func (d *destination) countOnly(tool string, rep *Report) {
	rep.noSchema = true
	d.noSchema = true
	if d.level.Reads() {
		d.level = validate.Count
		stream.Observer(rep.observe).Warn("restore", "the archive was written by "+tool+" and has no digests: its rows are counted, not compared, and neither is the schema")
	}
}
