// Command check runs the model whole, or with -short the part that the tests run.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/seed-ad7f1900/sessiondata/proof/model"
)

func main() {
	short := flag.Bool("short", false, "only what takes seconds")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if _, err := model.Run(ctx, *short, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
