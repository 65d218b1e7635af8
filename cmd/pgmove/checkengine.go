package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/pgmove/pgmove/dump/mysource"
	"github.com/pgmove/pgmove/dump/pgsource"
	"github.com/pgmove/pgmove/internal/mysession"
	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/restore/mytarget"
	"github.com/pgmove/pgmove/restore/pgtarget"
	"github.com/pgmove/pgmove/stream"
)

// askSource asks a source what could stop or spoil the dump that the flags ask for.
func askSource(ctx context.Context, c *cli.Context, co conn, sel stream.Selection, full bool) (*stream.Needs, []stream.Finding, error) {
	roles, err := rolesMode(c)
	if err != nil {
		return nil, nil, err
	}
	if my, ok := co.(*mysession.Conn); ok {
		opts, err := myOptions(c, nil)
		if err != nil {
			return nil, nil, err
		}
		opts.Selection = sel
		return mysource.Check(ctx, my, opts, full)
	}
	return pgsource.Check(ctx, co.(*pgsession.Conn), pgsource.Options{Jobs: c.Int("jobs"), BinDir: c.String("pg-bin"), NoOwner: c.Bool("no-owner"),
		NoACL: c.Bool("no-acl"), Selection: sel, Roles: roles, Patience: patience}, full)
}

// askTarget asks a target what could stop or spoil the restore of what the source needs.
func askTarget(ctx context.Context, c *cli.Context, co conn, needs *stream.Needs, full bool) (*stream.Offer, []stream.Finding, error) {
	if my, ok := co.(*mysession.Conn); ok {
		opts, err := myTargetOptions(c, nil)
		if err != nil {
			return nil, nil, err
		}
		return mytarget.Check(ctx, my, opts, needs, full)
	}
	return pgtarget.Check(ctx, co.(*pgsession.Conn), pgtarget.Options{NoOwner: c.Bool("no-owner"), NoACL: c.Bool("no-acl"), Clean: c.Bool("clean"), Sessions: 2*c.Int("jobs") + 1, Patience: patience}, needs, full)
}
