package main

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"sync"
)

// lastWriteWins keeps carts the usual way, to show what that loses: a request
// loads the whole of it as one blob, changes its copy, and writes the whole back
// over whatever is there by then. Load and save are each safe for concurrent use;
// it is between them that additions get lost. No shop should do this.
type lastWriteWins struct {
	mu    sync.Mutex
	blobs map[string][]byte
}

// maxBlobs bounds the carts that are kept.
const maxBlobs = 1000

func newLastWriteWins() *lastWriteWins { return &lastWriteWins{blobs: make(map[string][]byte)} }

func (s *lastWriteWins) load(id string) (map[string]int, error) {
	s.mu.Lock()
	blob := s.blobs[id]
	s.mu.Unlock()
	cart := make(map[string]int)
	if blob == nil {
		return cart, nil
	}
	return cart, json.Unmarshal(blob, &cart)
}

func (s *lastWriteWins) save(id string, cart map[string]int) error {
	blob, err := json.Marshal(cart)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.blobs) >= maxBlobs {
		clear(s.blobs)
	}
	s.blobs[id] = blob
	return nil
}

const naiveCookie = "naive"

func naiveID(w http.ResponseWriter, r *http.Request) string {
	if c, err := r.Cookie(naiveCookie); err == nil && len(c.Value) == 26 {
		return c.Value
	}
	id := rand.Text()
	http.SetCookie(w, &http.Cookie{Name: naiveCookie, Value: id, Path: "/naive", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	return id
}

// addNaively is addToCart over lastWriteWins.
func (s *shop) addNaively(w http.ResponseWriter, r *http.Request) {
	p, ok := findProduct(r.FormValue("product"))
	if !ok {
		http.Error(w, "There is no such product.", http.StatusBadRequest)
		return
	}
	id := naiveID(w, r)
	cart, err := s.naive.load(id)
	if err == nil {
		cart[p.ID]++
		think(r)
		err = s.naive.save(id, cart)
	}
	if err != nil {
		http.Error(w, "The cart cannot be read or written.", http.StatusInternalServerError)
		return
	}
	s.countNaively(w, cart)
}

func (s *shop) showNaiveCart(w http.ResponseWriter, r *http.Request) {
	cart, err := s.naive.load(naiveID(w, r))
	if err != nil {
		http.Error(w, "The cart cannot be read.", http.StatusInternalServerError)
		return
	}
	s.countNaively(w, cart)
}

func (s *shop) countNaively(w http.ResponseWriter, cart map[string]int) {
	n := 0
	for _, quantity := range cart {
		n += quantity
	}
	w.Header().Set("Cache-Control", "no-store")
	_ = answerCount(w, n)
}
