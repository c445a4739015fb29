// out = a + b, element by element. a, b, out: [rows, cols] f32; out may alias a or b.
#pragma once
