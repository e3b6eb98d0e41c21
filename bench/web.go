package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// overHTTP serves a peer's handler on loopback, and returns the work of one
// visitor's request to it.
func overHTTP(p peer, c *content, path string, ids []string) (do func(worker int) error, stop func() error, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	server := &http.Server{Handler: p.handler(c), ReadHeaderTimeout: timeout}
	go func() { _ = server.Serve(l) }()
	transport := &http.Transport{MaxIdleConnsPerHost: len(ids), DisableCompression: true}
	client := &http.Client{Transport: transport, Timeout: timeout}
	url := "http://" + l.Addr().String() + path
	stop = func() error {
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return server.Shutdown(ctx)
	}
	do = func(worker int) error {
		req, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		req.Header.Set("Cookie", p.cookie(ids[worker]))
		res, err := client.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return err
		}
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", res.StatusCode)
		}
		return nil
	}
	return do, stop, nil
}
