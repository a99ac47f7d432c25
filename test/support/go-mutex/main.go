// Holds one lock of etcd's own concurrency package, for a test: it queues, says when it has the lock and with which
// revision, and unlocks when it is told to.
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"os"
	"strconv"

	"go.etcd.io/etcd/clientv3"
	"go.etcd.io/etcd/clientv3/concurrency"
)

func main() {
	endpoint, prefix := os.Args[1], os.Args[2]
	ttlSeconds, err := strconv.Atoi(os.Args[3])
	check(err)
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}})
	check(err)
	session, err := concurrency.NewSession(client, concurrency.WithTTL(ttlSeconds))
	check(err)
	fmt.Println("ready")
	mutex := concurrency.NewMutex(session, prefix)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		switch lines.Text() {
		case "lock":
			check(mutex.Lock(context.Background()))
			found, err := client.Get(context.Background(), mutex.Key())
			check(err)
			fmt.Println("locked", found.Kvs[0].CreateRevision)
		case "unlock":
			check(mutex.Unlock(context.Background()))
			fmt.Println("unlocked")
		case "close":
			check(session.Close())
			fmt.Println("closed")
		}
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
