/** Dragging an answer's letter to a rank, by mouse, pen or finger. */

const FAR = 4; // pixels: less is a click

/** Handlers for what is dragged; `drop` hears the rank that it was let go over, 0 for none. */
export function draggable(drop: (rank: number) => void) {
  let from: { x: number; y: number } | null = null;
  let moved = false;
  const end = (event: PointerEvent, dropped: boolean) => {
    const chip = event.currentTarget as HTMLElement;
    // While it is dragged it lets the pointer through, so that what lies below is found.
    const below = document.elementFromPoint(event.clientX, event.clientY)?.closest<HTMLElement>("[data-rank]");
    chip.classList.remove("dragged");
    chip.style.transform = "";
    if (from && moved && dropped && below) drop(Number(below.dataset.rank));
    from = null;
  };
  return {
    onPointerDown(event: PointerEvent) {
      if (event.button !== 0) return;
      from = { x: event.clientX, y: event.clientY };
      moved = false;
      (event.currentTarget as HTMLElement).setPointerCapture(event.pointerId);
    },
    onPointerMove(event: PointerEvent) {
      if (!from) return;
      const [x, y] = [event.clientX - from.x, event.clientY - from.y];
      moved ||= Math.hypot(x, y) > FAR;
      if (!moved) return;
      const chip = event.currentTarget as HTMLElement;
      chip.classList.add("dragged");
      chip.style.transform = `translate(${x}px, ${y}px)`;
    },
    onPointerUp: (event: PointerEvent) => end(event, true),
    onPointerCancel: (event: PointerEvent) => end(event, false),
  };
}
