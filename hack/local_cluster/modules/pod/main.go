// Command pod is what the node itself runs in pods.
//
//	pod             holds a sandbox: reaps, and sleeps until SIGTERM or SIGINT
//	pod serve ADDR  answers every HTTP request with 200, ready for the check of Services and DNS
//	pod get URL     asks until the URL answers with 200; exits with 1 when it has not within a minute
package main

import (
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	switch {
	case len(os.Args) == 3 && os.Args[1] == "serve":
		end(http.ListenAndServe(os.Args[2], http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	case len(os.Args) == 3 && os.Args[1] == "get":
		end(get(os.Args[2]))
	default:
		hold()
	}
}

func get(url string) error {
	client := http.Client{Timeout: 2 * time.Second}
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if err = once(&client, url); err == nil {
			return nil
		}
	}
	return err
}

func once(client *http.Client, url string) error {
	answer, err := client.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, answer.Status)
	}
	return nil
}

func hold() {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGCHLD, syscall.SIGTERM, syscall.SIGINT)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
}

func end(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
