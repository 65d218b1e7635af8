package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/pgmove/pgmove/internal/fault"
	"github.com/pgmove/pgmove/restore"
	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/validate"
)

// destination is where run and restore move to, and what they ask of it.
type destination struct {
	conn     conn
	level    validate.Level
	goOn     bool
	roles    bool // create those that are missing
	noSchema bool // the schema is not compared
	resume   bool
	keep     bool          // the ledger
	clean    bool          // what is to be created is dropped before
	prior    *stream.Prior // what an earlier process left, where the run is to be resumed
	occupied error         // to be resumed, and no ledger, and not empty: why it would be refused
	target   target
	compared source          // the target opened for reading; nil where nothing is validated
	early    *validate.Early // what is read of it while it is loaded; nil where rows are not compared
	// selection has the sections that are moved; of a restore the patterns too, once the archive is known.
	selection stream.Selection
	moves     bool // from a source that is open too, and must be another database
}

// newDestination reads the flags; it connects to nothing.
func newDestination(c *cli.Context, rep *Report) (*destination, error) {
	co, err := rep.conn(c, "target")
	if err != nil {
		return nil, err
	}
	if _, err := definer(c); err != nil {
		return nil, err
	}
	level, err := validate.ParseLevel(c.String("validate"))
	if err != nil {
		return nil, err
	}
	goOn, err := onError(c)
	if err != nil {
		return nil, err
	}
	sel, err := selection(c)
	if err != nil {
		return nil, err
	}
	roles, err := rolesMode(c)
	if err != nil {
		return nil, err
	}
	d := &destination{conn: co, level: level, goOn: goOn, roles: roles, noSchema: c.Bool("no-schema-check"),
		resume: c.Bool("resume"), keep: c.Bool("keep-ledger"), clean: c.Bool("clean"), selection: sel}
	if c.Command.Name == "run" || len(sel.Sections) > 0 {
		err = d.into(c)
	}
	return d, err
}

// connect connects and refuses a target that isn't empty. It may be called more than once.
func (d *destination) connect(ctx context.Context, c *cli.Context, o stream.Observer) (err error) {
	if d.target != nil {
		return nil
	}
	if d.target, err = openTarget(ctx, c, d.conn, o); err != nil {
		return err
	}
	if d.resume {
		if d.prior, err = d.target.Left(ctx); err != nil || d.prior != nil {
			return err
		}
	}
	if done, err := d.checkOccupied(ctx); done || err != nil {
		return err
	}
	err = d.target.CheckEmpty(ctx)
	if d.resume && stream.KindOf(err) == stream.Preflight {
		d.occupied, err = err, nil
	}
	return err
}

// open connects, and opens what the validation will need: what would stop it is told now, before
// the move.
func (d *destination) open(ctx context.Context, c *cli.Context, src stream.Source, o stream.Observer) (err error) {
	if err := d.connect(ctx, c, o); err != nil {
		return err
	}
	if err := d.isSource(ctx, &src); err != nil {
		return err
	}
	if d.level != validate.None || d.occupied != nil {
		d.compared, err = openCompared(ctx, c, d.conn, src, comparing{noSchema: d.noSchema}, o)
	}
	if err == nil && d.level.Reads() {
		if l, ok := d.compared.(validate.Loaded); ok {
			d.early = validate.NewEarly(l, o)
		}
	}
	return err
}

// restoreOptions are what restore.Run is told.
func (d *destination) restoreOptions(c *cli.Context, o stream.Observer) restore.Options {
	opts := restore.Options{Jobs: c.Int("jobs"), Continue: d.goOn, Roles: d.roles, NoAnalyze: c.Bool("no-analyze"), StageFrom: stageFrom(d.conn), Retry: retry, Observe: o,
		Sections: d.selection.Sections, SchemaOnly: d.selection.SchemaOnly}
	if d.early != nil {
		opts.Check = d.early
	}
	if fault.Active() {
		opts.StageFrom = 1 // the tests' tables are small
	}
	return opts
}

// close ends what open opened, however far it came.
func (d *destination) close() {
	if d.compared != nil {
		d.compared.Close()
	}
	if d.target != nil {
		d.target.Close()
	}
}

// finish validates, and drops the ledger when all is equal.
func (d *destination) finish(ctx context.Context, contents *stream.Contents, rep *Report) error {
	rep.setContents(contents)
	if d.compared != nil {
		rep.reads("target", d.compared)
	}
	d.target.Loaded()
	if d.level != validate.None {
		if err := compare(ctx, d.level, contents, d.compared, d.early, rep); err != nil {
			return err
		}
	}
	if d.keep {
		return d.target.Keep(ctx)
	}
	return d.target.Finish(ctx)
}

// isThere ends a run that is to be resumed on a target that isn't empty and has no ledger: well, if the target holds
// the contents, since then the run had ended.
func (d *destination) isThere(ctx context.Context, contents *stream.Contents, rep *Report) error {
	stream.Observer(rep.observe).Warn("restore", "the target has no ledger and is not empty: it is only compared")
	rep.setContents(contents)
	err := compare(ctx, validate.Digest, contents, d.compared, nil, rep)
	if stream.KindOf(err) != stream.Mismatch {
		return err
	}
	return stream.Fail(stream.Preflight, "%s; it is not what is to be moved there either: %s", d.occupied, err).
		WithHint("create an empty database for the move; pgmove replaces nothing unless --clean asks for it")
}
