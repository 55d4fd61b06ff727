// Sends a person's answer to a picture; each answer is a new review, none is overwritten.

import { call } from "./api.js";
import { say, who } from "./dialog.js";

// Returns the review as kept, or null if the person went back or the station refused.
export async function answer(inspection, choice, { note = "", marks = [] } = {}) {
  const name = await who();
  if (!name) return null;
  try {
    return await call(`api/inspections/${encodeURIComponent(inspection.id)}/reviews`, {
      method: "POST",
      body: { answer: choice, who: name, note, marks: choice === "defective" ? marks : [] },
    });
  } catch (error) {
    say(`The answer was not kept: ${error.message}`, { bad: true });
    return null;
  }
}
