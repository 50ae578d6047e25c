// The service one would write in an afternoon instead: one INSERT per request through a connection pool.
// No relay, no outbox, no idempotency. usage: row_per_request ADDRESS DSN POOL_SIZE
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
)

func main() {
	config, err := pgxpool.ParseConfig(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	size, _ := strconv.Atoi(os.Args[3])
	config.MaxConns = int32(size)
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		log.Fatal(err)
	}
	_, err = pool.Exec(context.Background(), "create table if not exists events(id text primary key, body jsonb not null, at timestamptz not null default now())")
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("/events/orders", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		var event struct{ Customer string }
		if err != nil || json.Unmarshal(body, &event) != nil || event.Customer == "" {
			http.Error(w, `{"title":"bad request"}`, http.StatusBadRequest)
			return
		}
		id := uuid.Must(uuid.NewV7()).String()
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		if _, err = pool.Exec(ctx, "insert into events(id, body) values ($1, $2)", id, body); err != nil {
			http.Error(w, `{"title":"not stored"}`, http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(w, `{"id":"%s"}`, id)
	})
	server := &http.Server{Addr: os.Args[1], ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}
