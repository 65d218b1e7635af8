package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/pgmove/pgmove/dump"
	"github.com/pgmove/pgmove/restore"
	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/pipestore"
	"github.com/pgmove/pgmove/stream/watch"
	"github.com/pgmove/pgmove/validate"
)

func newRunCommand() *cli.Command {
	return &cli.Command{
		Name:  "run",
		Usage: "move a database: dump and restore at the same time, then validate",
		Flags: join([]cli.Flag{sourceFlag(), targetFlag(),
			&cli.StringFlag{Name: "via", Usage: "keep the archive at `LOCATION` (file:///folder or s3://bucket/prefix) on the way; without it rows pass through memory"},
			&cli.BoolFlag{Name: "rm-via", Usage: "delete the archive at --via once everything has arrived and was verified"},
			resumeFlag(), noCheckFlag(), rolesFlag(), ledgerFlag(), snapshotFlag(), jobsFlag(), reportFlag(), compressFlag(), formatFlag(), toolFlag()}, validateFlags(), ownerFlags(), dumpFlags(), sectionFlags(), intoFlags(), dryFlags(), restoreFlags(), locationFlags(), sealFlags()),
		Action: func(c *cli.Context) error { return session(c, runRun) },
	}
}

// runRun is dump and restore over one archive, then validate.
func runRun(ctx context.Context, c *cli.Context, rep *Report) error {
	from, err := rep.conn(c, "source")
	if err != nil {
		return err
	}
	to, err := newDestination(c, rep)
	if err != nil {
		return err
	}
	if err := sameEngine(engineOf(from), engineOf(to.conn)); err != nil {
		return err
	}
	to.moves = true
	if c.Bool("dry-run") {
		return planRun(ctx, c, from, to, rep)
	}
	if err := preflight(ctx, c); err != nil {
		return err
	}
	via, err := openVia(ctx, c, rep.observe)
	if err != nil {
		return err
	}
	defer via.was.release()
	defer to.close()
	if to.resume {
		if err := via.match(ctx, c, to, rep.observe); err != nil {
			return err
		}
	}
	contents, err := fill(ctx, c, from, to, via, rep)
	if err != nil {
		return err
	}
	rep.drill.again = ofRun(c, from, via, contents, rep.observe)
	if to.occupied != nil {
		err = to.isThere(ctx, contents, rep)
	} else {
		err = to.finish(ctx, contents, rep)
	}
	if err != nil || !c.Bool("rm-via") {
		return err
	}
	return via.remove(ctx, to.level)
}

// fill moves what is to be moved, and returns what the target holds by then, or ought to.
func fill(ctx context.Context, c *cli.Context, from conn, to *destination, via *way, rep *Report) (*stream.Contents, error) {
	if via.was.sealed != nil {
		return fromSealed(ctx, c, to, via.was.sealed, rep)
	}
	src, err := openSource(ctx, c, from, !via.live, via.was.prior, rep.observe)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	if err := to.open(ctx, c, src.Facts(), rep.observe); err != nil {
		return nil, err
	}
	rep.connected()
	rep.reads("source", src)
	if to.occupied != nil {
		return dump.Measure(ctx, src, dump.Options{Jobs: c.Int("jobs"), Tool: version, Retry: retry, Observe: rep.observe})
	}
	return move(ctx, c, src, to, via, rep)
}

// fromSealed restores an archive that an earlier process of the run completed.
func fromSealed(ctx context.Context, c *cli.Context, to *destination, r *stream.Reader, rep *Report) (*stream.Contents, error) {
	contents := &r.Manifest().Contents
	rep.Run = contents.Header.Run
	if err := to.selection.Same(&contents.Header.Source.Selection); err != nil {
		return nil, err
	}
	if err := to.open(ctx, c, contents.Header.Source, rep.observe); err != nil || to.occupied != nil {
		return contents, err
	}
	return contents, restore.Run(ctx, r, to.target, to.restoreOptions(c, rep.observe))
}

// following is a store that writer and reader share in this process.
type following interface {
	stream.Store
	stream.Announcer
	CloseWithError(error)
}

// way is what lies between source and target.
type way struct {
	following
	live bool // rows pass through memory
	loc  location
	mac  stream.MACKey
	was  found // what an earlier process left
}

// Announce tells the reader of an object that was there before; see stream.Writer.Keep.
func (w *way) Announce(key string) {
	if a, ok := w.following.(interface{ Announce(string) }); ok {
		a.Announce(key)
	}
}

// match looks at what an earlier process of the run left on the target, and whether that goes with the way.
func (w *way) match(ctx context.Context, c *cli.Context, to *destination, o stream.Observer) error {
	if err := to.connect(ctx, c, o); err != nil || to.prior == nil {
		return err
	}
	f := &stream.Failure{Kind: stream.NotResumable, Object: to.conn.Name()}
	switch {
	case w.live && !to.prior.Header.Live:
		f.Msg = "the run that began there keeps an archive"
		return f.WithHint("give --via as it was given at first, or pgmove restore --from the archive --resume; else drop and create the database, and start afresh")
	case !w.live && to.prior.Header.Live:
		f.Msg = "the run that began there keeps no archive"
		return f.WithHint("leave --via out, as at first; else drop and create the database, and start afresh")
	case w.live:
		w.was.prior = to.prior
	case w.was.prior == nil && w.was.sealed == nil:
		f.Msg = fmt.Sprintf("the archive of the run that began there is not at %s", w.loc.text)
		return f.WithHint("give --via as it was given at first; else drop and create the database, and start afresh")
	}
	return nil
}

func openVia(ctx context.Context, c *cli.Context, o stream.Observer) (*way, error) {
	if c.String("via") == "" {
		for _, f := range []string{"rm-via", "encrypt-to", "identity", "mac-key"} {
			if c.IsSet(f) {
				return nil, stream.Fail(stream.Usage, "--%s is for an archive: --via names its location", f)
			}
		}
		if _, err := memoryLimit(c); err != nil {
			return nil, err
		}
		return &way{following: pipestore.New(), live: true, was: found{release: func() {}}}, nil
	}
	if _, err := compression(c); err != nil {
		return nil, err
	}
	loc, err := parseLocation("via", c.String("via"))
	if err != nil {
		return nil, err
	}
	mac, err := macKey(c)
	if err != nil {
		return nil, err
	}
	s, was, err := loc.openToWrite(ctx, c, true, mac, o)
	if err != nil {
		return nil, err
	}
	return &way{following: watch.New(s), loc: loc, mac: mac, was: was}, nil
}

// remove deletes the archive, the manifest first: what is left of it is none.
func (w *way) remove(ctx context.Context, level validate.Level) error {
	if level == validate.None {
		return stream.Fail(stream.Failed, "the archive at %s is kept: nothing was validated", w.loc.text).
			WithHint("delete it by hand, or run with --validate digest")
	}
	return stream.Remove(ctx, w.following)
}

func move(ctx context.Context, c *cli.Context, src source, to *destination, via *way, rep *Report) (*stream.Contents, error) {
	z, err := compression(c)
	if err != nil {
		return nil, err
	}
	rep.Run = newRunID()
	w := stream.NewWriter(via, via.live, z)
	w.Authenticate(via.mac)
	var contents *stream.Contents
	var failed error // the dump's
	begun := make(chan struct{})
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		contents, err = dump.Run(ctx, src, w, dump.Options{Jobs: c.Int("jobs"), Run: rep.Run, Tool: version,
			Prior: via.was.prior, Begun: func() { close(begun) }, Retry: retry, Observe: rep.observe})
		if failed = err; err != nil {
			via.CloseWithError(err)
		}
		return err
	})
	g.Go(func() error {
		// Before that an archive to be resumed is what it was.
		select {
		case <-begun:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		r := stream.Follow(via, via.loc.text, via, via.mac)
		err := restore.Run(ctx, r, to.target, to.restoreOptions(c, rep.observe))
		if err != nil {
			via.CloseWithError(err)
		}
		return err
	})
	switch err = g.Wait(); {
	case err == nil:
		rep.Run = contents.Header.Run
	case errors.Is(err, context.Canceled) && failed != nil:
		err = failed // one reader of the dump's may have told only that the others were stopped
	}
	return contents, err
}

// compare validates an open target and puts the result into the report.
func compare(ctx context.Context, level validate.Level, contents *stream.Contents, target source, early *validate.Early, rep *Report) error {
	if t, ok := target.(interface{ OnlyBlobs([]string) error }); ok && (rep.clean || !contents.Header.Source.Selection.Has(stream.PreData)) {
		if err := t.OnlyBlobs(contents.LargeObjects()); err != nil {
			return err
		}
	}
	res, err := validate.Run(ctx, contents, target, validate.Options{Level: level, Jobs: rep.jobs, NoSchema: rep.noSchema, Early: early, Others: rep.clean,
		NoOwner: rep.noOwner || contents.Header.Source.NoOwner, NoACL: rep.noACL || contents.Header.Source.NoACL, Again: rep.drill.open,
		MaxDifferences: rep.drill.max, ShowValues: rep.drill.values, Looks: rep.drill.looks, Pause: rep.drill.pause, Memo: rep.drill.memo, Unverified: rep.drill.unverified, Observe: rep.observe})
	rep.drill.close()
	if err != nil {
		return err
	}
	rep.setResult(res)
	return res.Err()
}

// newRunID makes a UUID of version 4.
func newRunID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
